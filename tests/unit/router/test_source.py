"""Where the configuration is: read again while the router runs, and a wrong one never replaces a right one."""

import json
import logging
import math
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lambda_llm.aws.errors import S3URIError
from lambda_llm.router.config import digest
from lambda_llm.router.errors import ConfigurationError, SourceError
from lambda_llm.router.source import AppConfigSource, FileSource, Reloading, S3Source, source
from scripts.local_aws.server import LocalAWS
from support.aws_service import AWSService, ServiceError, aws_service
from support.backends import client as client_of
from support.router import written

if TYPE_CHECKING:
    from collections.abc import Callable

RIGHT = json.dumps(written()).encode()
OTHER = json.dumps({**written(), "tenants": {"*": {"models": ["*"]}}}).encode()
WRONG = b"version: 2"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def reloading(path: Path, clock: Clock) -> Reloading:
    path.write_bytes(RIGHT)
    return Reloading(FileSource(path), clock)


def test_another_configuration_is_taken(tmp_path: Path) -> None:
    """When it is time to ask."""
    clock, path = Clock(), tmp_path / "router.json"
    running = reloading(path, clock)
    assert set(running.current.tenants) == {"acme", "*"}
    assert (running.digest, running.age) == (digest(RIGHT), 0)
    clock.now -= 1
    assert running.age == math.inf
    clock.now += 61
    assert running.age == 60
    path.write_bytes(OTHER)
    assert running.refresh()
    assert (set(running.current.tenants), running.digest, running.age) == ({"*"}, digest(OTHER), 0)
    assert not running.refresh()


def test_it_is_as_old_as_what_is_known_of_it(tmp_path: Path) -> None:
    """While its source is asked, and in a snapshot, which is kept for any time."""
    clock, path = Clock(), tmp_path / "router.json"
    path.write_bytes(RIGHT)
    ages: list[float] = []

    class Looking(FileSource):
        def read(self) -> bytes | None:
            if ages:
                ages.append(running.age)
            return super().read()

    running = Reloading(Looking(path), clock)
    clock.now += 600
    ages.append(running.age)
    assert not running.refresh()
    assert (ages, running.age) == ([600, 600], 0)
    running.expire()
    assert running.age == math.inf
    assert not running.refresh()
    assert running.age == 0


@pytest.mark.parametrize("content", [WRONG, b"", b"\xff", RIGHT[:-1], None])
def test_a_wrong_one_replaces_nothing(tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    """Nor one that is gone; the log says why, and a right one is taken afterwards."""
    path = tmp_path / "router.json"
    running = reloading(path, Clock())
    before = running.current
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with caplog.at_level(logging.INFO):
        assert not running.refresh()
        assert running.current is before
        assert f"the configuration {digest(RIGHT)} stays in use: The configuration " in caplog.text
        path.write_bytes(OTHER)
        assert running.refresh()
    assert f"the configuration {digest(OTHER)} is in use" in caplog.text


def test_the_first_one_must_be_right(tmp_path: Path) -> None:
    """Nothing is served without one."""
    path = tmp_path / "router.json"
    with pytest.raises(SourceError, match=r"router.json can't be read \(No such file or directory\)"):
        Reloading(FileSource(path))
    path.write_bytes(WRONG)
    with pytest.raises(ConfigurationError):
        Reloading(FileSource(path))


def test_an_object_is_read_when_it_has_changed(local_aws: LocalAWS) -> None:
    """By its ETag."""
    with closing(local_aws.client("s3")) as s3:
        s3.create_bucket(Bucket="router-configuration")
        s3.put_object(Bucket="router-configuration", Key="router.json", Body=RIGHT)
        where = S3Source("s3://router-configuration/router.json", s3)
        assert [where.read(), where.read()] == [RIGHT, None]
        s3.put_object(Bucket="router-configuration", Key="router.json", Body=OTHER)
        assert [where.read(), where.read()] == [OTHER, None]
        s3.delete_object(Bucket="router-configuration", Key="router.json")
        with pytest.raises(SourceError, match=r"s3://router-configuration/router.json can't be read .*NoSuchKey"):
            where.read()


class Profile:
    """A profile of AppConfig: each token is good for one call."""

    def __init__(self) -> None:
        self.content, self.seen, self.token, self.fails = RIGHT, b"", 0, False

    def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked == {
            "ApplicationIdentifier": "llm",
            "EnvironmentIdentifier": "live",
            "ConfigurationProfileIdentifier": "router",
        }
        self.seen = b""
        return {"InitialConfigurationToken": self.next()}

    def latest(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.fails or asked["ConfigurationToken"] != f"token-{self.token}":
            raise ServiceError("BadRequestException")
        new = b"" if self.content == self.seen else self.content
        self.seen = self.content
        return {"NextPollConfigurationToken": self.next(), "Configuration": new}

    def next(self) -> str:
        self.token += 1
        return f"token-{self.token}"


def test_a_profile_of_appconfig_is_read_when_it_has_changed() -> None:
    """After a failure with a new session: its tokens are used up."""
    profile = Profile()
    operations: dict[str, Callable[[dict[str, Any]], Any]] = {
        "StartConfigurationSession": profile.start,
        "GetLatestConfiguration": profile.latest,
    }
    with (
        aws_service(AWSService("appconfigdata", operations)) as service,
        closing(client_of("appconfigdata", service.url)) as client,
    ):
        where = AppConfigSource("appconfig://llm/live/router", client)
        assert [where.read(), where.read()] == [RIGHT, None]
        profile.content = OTHER
        assert where.read() == OTHER
        profile.fails = True
        with pytest.raises(SourceError, match=r"appconfig://llm/live/router can't be read .*BadRequestException"):
            where.read()
        profile.fails = False
        assert [where.read(), where.read()] == [OTHER, None]


def test_an_address_names_its_source(tmp_path: Path) -> None:
    """Or is refused."""
    assert isinstance(source("s3://bucket/key"), S3Source)
    assert isinstance(source("appconfig://a/b/c"), AppConfigSource)
    assert isinstance(source(str(tmp_path)), FileSource)
    with pytest.raises(S3URIError):
        source("s3://bucket")
    for wrong in ("appconfig://a/b", "appconfig://a//c", "appconfig://a/b/c/d"):
        with pytest.raises(SourceError, match="write appconfig://application/environment/profile"):
            source(wrong)
