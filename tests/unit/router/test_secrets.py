"""Backends' keys: read when needed, again when refused, and nowhere written."""

import re
from contextlib import closing

import pytest

from lambda_llm.router.errors import SecretError
from lambda_llm.router.secrets import KEPT_SECONDS, REFUSED_SECONDS, Secrets
from scripts.local_aws.server import LocalAWS

KEY = "sk-live-1234567890"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _aws(local_aws: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in local_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


def stored(aws: LocalAWS, name: str, text: str) -> str:
    """A secret; gives its ARN."""
    with closing(aws.client("secretsmanager")) as client:
        return str(client.create_secret(Name=name, SecretString=text)["ARN"])


def changed(aws: LocalAWS, arn: str, text: str) -> None:
    with closing(aws.client("secretsmanager")) as client:
        client.put_secret_value(SecretId=arn, SecretString=text)


@pytest.mark.parametrize("name", ["key", "/team/key"])
async def test_a_parameter_is_read_by_its_arn(local_aws: LocalAWS, name: str) -> None:
    """Whether its name is a path or not."""
    with closing(local_aws.client("ssm")) as client:
        client.put_parameter(Name=name, Value=KEY, Type="SecureString", Overwrite=True)
        arn = client.get_parameter(Name=name)["Parameter"]["ARN"]
    secrets = Secrets()
    assert await secrets.key(arn)(None) == KEY
    secrets.forget()


async def test_a_key_is_kept_for_a_while(local_aws: LocalAWS) -> None:
    """A new one is used after that."""
    arn, clock = stored(local_aws, "kept", f"{KEY}\n"), Clock()
    secrets = Secrets(clock)
    key = secrets.key(arn)
    assert await key(None) == KEY, "a line's end is no part of it"
    changed(local_aws, arn, "sk-new")
    clock.now += KEPT_SECONDS - 1
    assert await key(None) == KEY
    clock.now += 1
    assert await key(None) == "sk-new"
    secrets.forget()


async def test_a_refused_key_is_read_again(local_aws: LocalAWS) -> None:
    """At most every few seconds; whoever used an older one gets the newer one at once."""
    arn, clock = stored(local_aws, "refused", KEY), Clock()
    secrets = Secrets(clock)
    key = secrets.key(arn)
    assert await key(None) == KEY
    changed(local_aws, arn, "sk-new")
    assert await key(KEY) == KEY, "it has just been read"
    clock.now += REFUSED_SECONDS
    assert await key(KEY) == "sk-new"
    assert await key(KEY) == "sk-new"
    secrets.forget()


async def test_what_was_forgotten_is_read_again(local_aws: LocalAWS) -> None:
    """After a restore from a snapshot."""
    arn = stored(local_aws, "forgotten", KEY)
    secrets = Secrets(Clock())
    assert await secrets.key(arn)(None) == KEY
    secrets.forget()
    assert KEY not in repr(vars(secrets))
    changed(local_aws, arn, "sk-new")
    assert await secrets.key(arn)(None) == "sk-new"
    secrets.forget()


@pytest.mark.parametrize(
    ("name", "text"),
    [("empty", " "), ("lines", "two\nlines"), ("letters", "schl\u00fcssel"), ("long", "k" * 9000)],
)
async def test_what_can_be_no_key_is_refused_without_being_shown(local_aws: LocalAWS, name: str, text: str) -> None:
    """A header has neither lines nor other letters."""
    arn = stored(local_aws, f"no-key-{name}", text)
    secrets = Secrets()
    with pytest.raises(SecretError, match="no key of at most 8,192 printable characters") as refused:
        await secrets.key(arn)(None)
    assert not text.strip() or text not in str(refused.value)
    secrets.forget()


async def test_what_is_not_there_is_named(local_aws: LocalAWS) -> None:
    """By its ARN."""
    region = local_aws.environment["AWS_DEFAULT_REGION"]
    secrets = Secrets()
    for arn, code in (
        (f"arn:aws:secretsmanager:{region}:123456789012:secret:none-AbCdEf", "ResourceNotFoundException"),
        (f"arn:aws:ssm:{region}:123456789012:parameter/none", "ParameterNotFound"),
    ):
        with pytest.raises(SecretError, match=f"{re.escape(arn)} can't be read \\({code}: check"):
            await secrets.key(arn)(None)
    secrets.forget()


async def test_a_service_that_is_gone_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its class alone, as a message may have anything."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    secrets = Secrets()
    with pytest.raises(SecretError, match="EndpointConnectionError: check region and network"):
        await secrets.key("arn:aws:secretsmanager:eu-central-1:123456789012:secret:a-AbCdEf")(None)
    secrets.forget()
