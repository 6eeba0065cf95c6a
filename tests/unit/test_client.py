"""What callers import by the documentation."""

from lambda_llm import client
from lambda_llm.aws import errors, function_url, signing


def test_it_is_what_the_commands_sign_with() -> None:
    assert {name: getattr(client, name) for name in client.__all__} == {
        "CredentialsError": errors.CredentialsError,
        "SigV4Auth": signing.SigV4Auth,
        "function_url_auth": function_url.function_url_auth,
    }
