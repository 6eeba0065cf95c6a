"""The models that tests of several folders answer with."""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from scripts.demo import MODEL
from scripts.local_aws import terraform
from support.endless import write_endless

pytest_plugins = [
    "support.answers",
    "support.documents",
    "support.encoders",
    "support.function_url",
    "support.gate",
    "support.needs",
    "support.servers",
    "support.templates",
    # Behind what they import, whose assertions pytest rewrites.
    "support.applied",
    "support.browser",
    "support.fake_deployment",
]

OF_THE_SCRIPTS = (terraform.PROGRAM, terraform.MIRROR)
"""Which Terraform to test with is whoever runs the tests' choice."""

settings.register_profile(
    "tests",
    # The same examples everywhere, and no failure because a machine is busy or an earlier run left something behind.
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
        HealthCheck.function_scoped_fixture,
    ],
)
settings.load_profile("tests")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """A shell without job control has what it starts in the background ignore Ctrl-C, which tests press."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Whoever asks for an event loop where none runs (LiteLLM does) would be given one that nobody closes.
    asyncio.set_event_loop(None)
    # pytest-terraform would prefer OpenTofu, and end the whole run where neither is installed; the tests that need one
    # say so themselves.
    if config.option.dest_tf_binary is None:
        config.option.dest_tf_binary = shutil.which(terraform.program()) or terraform.program()


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_this_machine() -> Iterator[None]:
    """Settings of whoever runs the tests would change what they see, in this process and in those it starts."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in os.environ:
            if name.startswith(("LAMBDA_LLM_", "AWS_LAMBDA_", "AWS_LWA_")) and name not in OF_THE_SCRIPTS:
                monkeypatch.delenv(name)
        yield


@pytest.fixture(scope="session")
def demo_model() -> Path:
    """The model that `make demo` serves."""
    return MODEL


@pytest.fixture(scope="session")
def endless_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slow model that never ends its turn."""
    return write_endless(tmp_path_factory.mktemp("models") / "endless.gguf", MODEL)
