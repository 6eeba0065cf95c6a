"""The authorizer under Lambda's own Python runtime client, over DynamoDB with IAM evaluated; and `lambda-llm keys`.

What answers for keys comes from the zip that Lambda gets.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lambda_llm.authorizer.keys import StoredKey, hash_of, made
from scripts.local_aws.server import ACCOUNT, REGION, LocalAWS, local_aws
from support import lambda_process
from support.issuer import AUDIENCE, Issuer, issuing
from support.package import COMMAND
from support.rest_api import API, STAGE, authorizer_event
from support.servers import free_port

REFUSED = {"raised": "Unauthorized"}
"""What API Gateway answers with a 401; with 500 anything else that is raised."""


class Authorizer:
    """One environment of the function."""

    def __init__(self, environment: lambda_process.Environment) -> None:
        self._environment = environment

    def __call__(self, *authorization: str) -> Any:
        """The answer to a request with these headers, or what was raised."""
        report = self._environment.report(authorizer_event(*authorization))
        if report.path == "/invocation/id-1/error":
            return {"raised": report.body["errorMessage"]}
        return {"gave": report.body}

    @property
    def log(self) -> str:
        """All that it wrote."""
        return self._environment.log

    def tenant(self, key: str) -> str:
        """Of a key that is let in."""
        gave = self(f"Bearer {key}")["gave"]
        assert [one["Effect"] for one in gave["policyDocument"]["Statement"]] == ["Allow"]
        return str(gave["context"]["tenant"])


@contextmanager
def running(
    folder: Path, environment: Mapping[str, str], function: str = "authorizer", task: Path | None = None
) -> Iterator[Authorizer]:
    with lambda_process.running(folder, task, function, environment) as process:
        yield Authorizer(process)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip for keys, unpacked as Lambda does it."""
    return lambda_process.unpacked(tmp_path_factory.mktemp("var"), "authorizer")


def logged(authorizer: Authorizer) -> list[dict[str, Any]]:
    """Its own lines; the runtime's are not JSON."""
    return [json.loads(line) for line in authorizer.log.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    with local_aws(tmp_path_factory.mktemp("strict-aws"), strict=True) as aws:
        yield aws


@pytest.fixture(scope="module")
def table(strict: LocalAWS) -> str:
    name = "llm-keys"
    with closing(strict.client("dynamodb")) as dynamodb:
        dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "key_hash", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "key_hash", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    return name


def role(aws: LocalAWS, table: str, *actions: str) -> dict[str, str]:
    """Credentials of a role that may do this with a table and nothing else, as variables."""
    allowed = [f"dynamodb:{action}" for action in actions]
    return lambda_process.role(aws, [(allowed, f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}")])


@pytest.fixture(scope="module")
def authorizer(
    strict: LocalAWS, table: str, task: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Authorizer]:
    """With the one right that it needs."""
    environment = role(strict, table, "GetItem") | {"LAMBDA_LLM_AUTHORIZER_TABLE": table}
    with running(tmp_path_factory.mktemp("authorizer"), environment, task=task) as process:
        yield process


@pytest.fixture(scope="module")
def admin(strict: LocalAWS, table: str) -> dict[str, str]:
    """Of whoever makes, lists and revokes keys."""
    return role(strict, table, "PutItem", "Scan", "UpdateItem")


def keys(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "keys", *arguments],
        env={**environment, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def create(environment: Mapping[str, str], table: str, tenant: str = "acme", *more: str) -> dict[str, Any]:
    done = keys(environment, "create", "--table", table, "--tenant", tenant, "--plan", "standard", "--json", *more)
    assert done.returncode == 0, done.stderr
    created: dict[str, Any] = json.loads(done.stdout)
    return created


def put(aws: LocalAWS, table: str, of: str = "acme", **changes: Any) -> tuple[str, StoredKey]:
    """A tenant's key as it may be stored: `changes` are attributes, None for none."""
    key, stored = made(of, "standard", now=int(time.time()))
    item = stored.item | changes
    with closing(aws.client("dynamodb")) as dynamodb:
        dynamodb.put_item(TableName=table, Item={name: value for name, value in item.items() if value is not None})
    return key, stored


# -- keys -------------------------------------------------------------------------------------------


def test_a_key_is_let_in_as_its_tenant(authorizer: Authorizer, admin: dict[str, str], table: str) -> None:
    created = create(admin, table, "acme", "--max-tokens", "500", "--expires-in", "90d")
    gave = authorizer(f"Bearer {created['key']}")["gave"]
    assert gave["context"] == {
        "tenant": "acme", "plan": "standard", "key_id": created["key_id"], "max_tokens": "500",
    }  # fmt: skip
    (statement,) = gave["policyDocument"]["Statement"]
    assert statement["Resource"].endswith(f":{API}/{STAGE}/*")
    assert gave["usageIdentifierKey"].startswith("lambda-llm-")


def test_keys_of_several_tenants_are_told_apart(strict: LocalAWS, authorizer: Authorizer, table: str) -> None:
    (acme, _), (other, _) = put(strict, table, "acme"), put(strict, table, "other")
    assert authorizer.tenant(acme) == "acme"
    assert authorizer.tenant(other) == "other"
    identifiers = {authorizer(f"Bearer {each}")["gave"]["usageIdentifierKey"] for each in (acme, other)}
    assert len(identifiers) == 2


def test_an_old_key_and_a_new_one_work_side_by_side_until_the_old_one_is_revoked(
    strict: LocalAWS, authorizer: Authorizer, admin: dict[str, str], table: str
) -> None:
    (old, stored), (new, _) = put(strict, table), put(strict, table)
    assert authorizer.tenant(old) == authorizer.tenant(new) == "acme"
    assert keys(admin, "revoke", stored.key_id, "--table", table).returncode == 0
    assert authorizer(f"Bearer {old}") == REFUSED, "at once: nothing is remembered here"
    assert authorizer.tenant(new) == "acme"


def test_guesses_are_refused_without_a_difference(strict: LocalAWS, authorizer: Authorizer, table: str) -> None:
    key, _ = put(strict, table)
    guesses = [made("acme", "standard", now=0)[0] for _ in range(200)]
    near = [key[:-1] + ("A" if key[-1] != "A" else "B"), key.lower(), key.upper(), key[:-1], key + "A", hash_of(key)]
    bearers = [f"Bearer {each}" for each in (*guesses, *near, "sk-", "", "a.b.c", "*", "sk-" + "%" * 43)]
    others = [key, f"Basic {key}", f"Bearer{key}", f"Bearer {key},", f"Bearer {key} {key}", f"Bearer \t{key[:9]}"]
    for authorization in bearers + others:
        assert authorizer(authorization) == REFUSED, authorization
    assert authorizer() == REFUSED
    assert authorizer(f"Bearer {key}", f"Bearer {key}") == REFUSED
    assert authorizer.tenant(key) == "acme"


NOW = int(time.time())


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at": {"N": str(NOW - 1)}},
        {"revoked_at": {"N": str(NOW - 1)}},
        {"revoked_at": {"N": str(NOW + 10_000)}},
        {"expires_at": {"S": str(NOW + 10_000)}},
        {"tenant": None},
        {"tenant": {"S": "Not/A name"}},
        {"plan": {"NULL": True}},
        {"max_tokens": {"N": "1.5"}},
    ],
    ids=["expired", "revoked", "revoked later", "text for a time", "no tenant", "no name", "no plan", "half a token"],
)
def test_what_is_stored_decides(strict: LocalAWS, authorizer: Authorizer, table: str, changes: dict[str, Any]) -> None:
    """Also between the time of expiry and DynamoDB's own deletion, which comes days later."""
    key, stored = put(strict, table, **changes)
    assert authorizer(f"Bearer {key}") == REFUSED
    with closing(strict.client("dynamodb")) as dynamodb:
        dynamodb.put_item(TableName=table, Item=stored.item | {"expires_at": {"N": str(NOW + 10_000)}})
    assert authorizer.tenant(key) == "acme"


def test_no_key_is_ever_logged(strict: LocalAWS, authorizer: Authorizer, table: str) -> None:
    key, _ = put(strict, table)
    revoked, stored = put(strict, table, revoked_at={"N": str(NOW)})
    guess, _ = made("acme", "standard", now=0)
    for each in (key, guess, revoked):
        authorizer(f"Bearer {each}")
    log = authorizer.log
    assert "/task/lambda_llm/authorizer/authorizer.py" in log, "the runtime logs where it was raised"
    *_, last = logged(authorizer)
    assert (last["message"], last["key_id"]) == ("refused: revoked key", stored.key_id)
    for each in (key, guess, revoked):
        assert each[3:] not in log
        assert str(hash_of(each)) not in log


# -- outages ----------------------------------------------------------------------------------------


def test_a_role_without_the_right_lets_nobody_in_and_says_so(strict: LocalAWS, table: str, tmp_path: Path) -> None:
    key, _ = put(strict, table)
    environment = role(strict, "another-table", "GetItem") | {"LAMBDA_LLM_AUTHORIZER_TABLE": table}
    with running(tmp_path, environment) as authorizer:
        said = authorizer(f"Bearer {key}")["raised"]
        line = next(line for line in logged(authorizer) if line["level"] == "ERROR")
    assert "AccessDenied" in said
    assert "the role may use dynamodb:GetItem on it" in said
    assert line["message"] == f"refused: {said}"
    assert key not in said


@pytest.mark.parametrize("down", ["nobody listens", "another table"])
def test_without_dynamodb_nobody_is_let_in(strict: LocalAWS, table: str, tmp_path: Path, down: str) -> None:
    key, _ = put(strict, table)
    environment = strict.environment | {"LAMBDA_LLM_AUTHORIZER_TABLE": table if down == "nobody listens" else "missing"}
    if down == "nobody listens":
        environment["AWS_ENDPOINT_URL"] = f"https://127.0.0.1:{free_port()}"
    with running(tmp_path, environment) as authorizer:
        answer = authorizer(f"Bearer {key}")
        assert answer["raised"].startswith(f"The keys in {environment['LAMBDA_LLM_AUTHORIZER_TABLE']} can't be read (")
        assert authorizer("Bearer nonsense") == REFUSED, "for this no table is needed"


def test_settings_that_let_nobody_in_fail_the_init(strict: LocalAWS) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import lambda_llm.authorizer.handler"],
        env=strict.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Nobody could be let in: set LAMBDA_LLM_AUTHORIZER_TABLE." in done.stderr


# -- JWTs -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with issuing(tmp_path_factory.mktemp("issuer")) as issuer:
        yield issuer


def test_keys_and_jwts_are_let_in_side_by_side(strict: LocalAWS, table: str, issuer: Issuer, tmp_path: Path) -> None:
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(Path(strict.environment["SSL_CERT_FILE"]).read_text() + issuer.certificate.read_text())
    environment = role(strict, table, "GetItem") | {
        "SSL_CERT_FILE": str(trusted),
        "LAMBDA_LLM_AUTHORIZER_TABLE": table,
        "LAMBDA_LLM_AUTHORIZER_ISSUER": issuer.url,
        "LAMBDA_LLM_AUTHORIZER_AUDIENCE": AUDIENCE,
        "LAMBDA_LLM_AUTHORIZER_PLAN": "standard",
        "HTTPS_PROXY": "",
    }
    key, _ = put(strict, table, "keyed")
    with running(tmp_path, environment, "authorizer-jwt") as authorizer:
        assert authorizer.tenant(key) == "keyed"
        assert authorizer.tenant(issuer.token(tenant="tokened")) == "tokened"
        assert authorizer(f"Bearer {issuer.token(aud='other')}") == REFUSED
        assert authorizer(f"Bearer {issuer.token(key=issuer.keys['ec'], algorithm='ES256')}") == REFUSED
        assert authorizer("Bearer sk-guess") == REFUSED
        gave = authorizer(f"Bearer {issuer.token()}")["gave"]
        assert gave["context"] == {"tenant": "acme", "plan": "standard", "key_id": "jwt"}
        assert {line["level"] for line in logged(authorizer)} == {"INFO"}


def test_an_issuer_that_is_away_lets_nobody_in(strict: LocalAWS, issuer: Issuer, tmp_path: Path) -> None:
    environment = strict.environment | {
        "LAMBDA_LLM_AUTHORIZER_ISSUER": f"https://127.0.0.1:{free_port()}",
        "LAMBDA_LLM_AUTHORIZER_AUDIENCE": AUDIENCE,
        "LAMBDA_LLM_AUTHORIZER_PLAN": "standard",
        "HTTPS_PROXY": "",
    }
    with running(tmp_path, environment, "authorizer-jwt") as authorizer:
        assert "can't be fetched" in authorizer(f"Bearer {issuer.token()}")["raised"]
        assert authorizer(f"Bearer {made('acme', 'standard', now=0)[0]}") == REFUSED, "there is no table of keys"
        assert "ERROR" in {line["level"] for line in logged(authorizer)}


# -- lambda-llm keys --------------------------------------------------------------------------------


def test_a_key_is_printed_once_and_stored_as_its_hash(strict: LocalAWS, admin: dict[str, str], table: str) -> None:
    done = keys(admin, "create", "--table", table, "--tenant", "acme", "--plan", "standard", "--note", "CI [bold]")
    key = done.stdout.strip()
    assert hash_of(key), "the key alone is on standard output"
    assert "of tenant acme in plan standard works. It is shown this once:" in done.stderr
    with closing(strict.client("dynamodb")) as dynamodb:
        item = dynamodb.get_item(TableName=table, Key={"key_hash": {"S": hash_of(key)}})["Item"]
    assert key[3:] not in str(item)
    stored = StoredKey.of(item)
    assert (stored.tenant, stored.plan, stored.note) == ("acme", "standard", "CI [bold]")
    assert (stored.expires_at, stored.revoked_at, stored.max_tokens) == (None, None, None)
    assert stored.key_id in done.stderr


def test_keys_are_listed_without_what_opens_anything(strict: LocalAWS, admin: dict[str, str], table: str) -> None:
    made_here = [put(strict, table, "listed", note={"S": f"number {number} [red]"}) for number in range(3)]
    put(strict, table, "unlisted")
    listed = json.loads(keys(admin, "list", "--table", table, "--tenant", "listed", "--json").stdout)["keys"]
    assert {each["key_id"] for each in listed} == {stored.key_id for _, stored in made_here}
    assert [each["created_at"] for each in listed] == sorted(each["created_at"] for each in listed)
    assert set(listed[0]) == {
        "key_id", "tenant", "plan", "created_at", "expires_at", "revoked_at", "max_tokens", "note",
    }  # fmt: skip
    done = keys(admin | {"LAMBDA_LLM_AUTHORIZER_TABLE": table}, "list")
    assert done.returncode == 0, done.stderr
    assert "number 1 [red]" in done.stdout
    assert "unlisted" in done.stdout
    for key, stored in made_here:
        assert stored.key_id in done.stdout
        assert key not in done.stdout
        assert stored.key_hash not in done.stdout


def test_a_revoked_key_says_when(admin: dict[str, str], table: str) -> None:
    created = create(admin, table, "revoking", "--expires-in", "12h")
    assert created["expires_at"] - created["created_at"] == 12 * 3600
    before = int(time.time())
    done = keys(admin, "revoke", created["key_id"], "--table", table, "--json")
    revoked = json.loads(done.stdout)
    assert revoked["key_id"] == created["key_id"]
    (listed,) = json.loads(keys(admin, "list", "--table", table, "--tenant", "revoking", "--json").stdout)["keys"]
    assert before <= listed["revoked_at"] == revoked["revoked_at"] <= time.time()
    again = keys(admin, "revoke", created["key_id"], "--table", table)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"Error: Key {created['key_id']} has been revoked before: there is nothing to do.\n"


def test_a_damaged_item_hides_no_other(strict: LocalAWS, admin: dict[str, str], table: str) -> None:
    put(strict, table, key_id={"S": "key_damaged"}, tenant={"S": "Not a name"})
    _, whole = put(strict, table, "whole")
    done = keys(admin, "list", "--table", table, "--json")
    assert whole.key_id in done.stdout
    assert "The item of key key_damaged is not as" in done.stderr
    assert keys(admin, "revoke", "key_damaged", "--table", table).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["revoke", "key_unknown"], "has no key 'key_unknown': `lambda-llm keys list` shows the ids"),
        (["create", "--tenant", "Acme", "--plan", "p"], "'Acme' can't be the name of a tenant: write 1 to 63 lower"),
        (["create", "--tenant", "acme", "--plan", "a b"], "'a b' can't be the name of a plan"),
        (["create", "--tenant", "acme", "--plan", "p", "--expires-in", "90"], "'90' is no time that can be read"),
        (["create", "--tenant", "acme", "--plan", "p", "--expires-in", "0d"], "'0d' is no time that can be read"),
    ],
)
def test_what_can_t_be_done_is_said_in_a_sentence(
    admin: dict[str, str], table: str, arguments: list[str], said: str
) -> None:
    done = keys(admin, *arguments, "--table", table)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert (done.stderr.startswith("Error: "), done.stderr.count("\n")) == (True, 1)


@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        (["create", "--tenant", "acme", "--plan", "p"], "dynamodb:PutItem"),
        (["list"], "dynamodb:Scan"),
        (["revoke", "key_1"], "dynamodb:Scan"),
    ],
)
def test_a_right_that_is_missing_is_named(strict: LocalAWS, table: str, arguments: list[str], action: str) -> None:
    done = keys(role(strict, table, "GetItem"), *arguments, "--table", table)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the role may use {action} on it" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_region_it_says_what_to_set(admin: dict[str, str], table: str) -> None:
    nowhere = {name: value for name, value in admin.items() if "REGION" not in name}
    done = keys(nowhere, "list", "--table", table)
    assert done.stderr.startswith(
        "Error: DynamoDB can't be reached (You must specify a region.): set AWS_DEFAULT_REGION"
    )
