"""AWS's clients without an account."""

from typing import Any

import boto3
import botocore.loaders
import botocore.session
import pytest

LOADER = botocore.loaders.create_loader()
"""Keeps the models of services, which each session would read anew."""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-account")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    session = boto3.session.Session

    def sharing() -> Any:
        core = botocore.session.Session()
        core.register_component("data_loader", LOADER)
        return session(botocore_session=core)

    monkeypatch.setattr(boto3.session, "Session", sharing)
