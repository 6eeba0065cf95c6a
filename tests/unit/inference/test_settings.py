"""What the variables may say, and which of them is named when it is wrong."""

import os
import re

import pytest
from pydantic import ValidationError

from lambda_llm.gguf.options import Guess, KVType, Weights
from lambda_llm.inference.settings import OTHERS, OTHERS_BEGIN, PREFIX, ContextOverflow, Settings, SettingsError
from lambda_llm.web.origin import Tenancy
from support.modules import ROOT

SHA256 = "0123456789abcdefABCDEF" + "0" * 42


@pytest.fixture(autouse=True)
def _only_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LAMBDA_LLM_MODEL", "s3://models/tiny.gguf")


def test_a_model_is_enough() -> None:
    settings = Settings.load()
    assert settings.model == "s3://models/tiny.gguf"
    of_the_model = (settings.model_version_id, settings.model_sha256, settings.model_size, settings.model_name)
    others = (settings.context, settings.threads, settings.memory_mb, settings.system_prompt)
    assert [value for value in (*of_the_model, *others) if value is not None] == []
    assert settings.kv_type is KVType.F16
    assert settings.weights is Weights.AUTO
    assert settings.load_seconds == 120


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("MODEL", "/models/tiny.gguf", "/models/tiny.gguf"),
        ("MODEL_VERSION_ID", "3HL4kqtJlcpXroDTDmJ", "3HL4kqtJlcpXroDTDmJ"),
        ("MODEL_SHA256", SHA256, SHA256),
        ("MODEL_SIZE", "770928000", 770_928_000),
        ("MODEL_NAME", "tiny", "tiny"),
        ("CONTEXT", "8192", 8192),
        ("KV_TYPE", "q8_0", KVType.Q8_0),
        ("WEIGHTS", "mapped", Weights.MAPPED),
        ("WEIGHTS", "copied", Weights.COPIED),
        ("THREADS", "6", 6),
        ("GUESS", "auto", Guess.AUTO),
        ("GUESS", "on", Guess.ON),
        ("GUESS", "off", Guess.OFF),
        ("MEMORY_MB", "10240", 10240),
        ("LOAD_SECONDS", "0.5", 0.5),
        ("SYSTEM_PROMPT", "Be brief.\nBe kind.", "Be brief.\nBe kind."),
        ("SYSTEM_PROMPTS", '["Be brief.", "s3://bucket/kind.txt"]', ("Be brief.", "s3://bucket/kind.txt")),
        ("SESSIONS", "s3://bucket/state/kv/", "s3://bucket/state/kv/"),
        ("CONTEXT_OVERFLOW", "shift", ContextOverflow.SHIFT),
        ("TENANT", "none", Tenancy.NONE),
        ("TENANT", "user", Tenancy.USER),
        ("TENANT", "authorizer", Tenancy.AUTHORIZER),
    ],
)
def test_every_variable_is_read(monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object) -> None:
    monkeypatch.setenv(PREFIX + name, text)
    assert getattr(Settings.load(), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("MODEL", "", "at least 1 character"),
        ("MODEL_SHA256", "0123", "should match pattern"),
        ("MODEL_SHA256", "g" * 64, "should match pattern"),
        ("MODEL_SIZE", "0", "greater than 0"),
        ("MODEL_SIZE", "700 MB", "valid integer"),
        ("CONTEXT", "7", "greater than or equal to 8"),
        ("CONTEXT", "long", "valid integer"),
        ("KV_TYPE", "f32", "'f16' or 'q8_0'"),
        ("CONTEXT_OVERFLOW", "forget", "'error' or 'shift'"),
        ("TENANT", "true", "'none', 'user' or 'authorizer'"),
        ("WEIGHTS", "moved", "'auto', 'copied' or 'mapped'"),
        ("THREADS", "0", "greater than or equal to 1"),
        ("GUESS", "true", "'auto', 'on' or 'off'"),
        ("MEMORY_MB", "63", "greater than or equal to 64"),
        ("LOAD_SECONDS", "0", "greater than 0"),
        ("LOAD_SECONDS", "-1", "greater than 0"),
        ("LOAD_SECONDS", "soon", "valid number"),
        ("SYSTEM_PROMPTS", "Be brief.", 'write it as JSON, for example ["one", "two"]'),
        ("SYSTEM_PROMPTS", "[1]", "valid string"),
        ("SESSIONS", "bucket/state", "should match pattern"),
        ("SESSIONS", "s3://", "should match pattern"),
    ],
)
def test_a_wrong_value_is_told_with_its_variable_and_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: str
) -> None:
    monkeypatch.setenv(PREFIX + name, text)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert str(caught.value).startswith(f"LAMBDA_LLM_{name} can't be used: ")
    assert expected in str(caught.value)


def test_a_missing_model_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAMBDA_LLM_MODEL")
    with pytest.raises(SettingsError, match="LAMBDA_LLM_MODEL can't be used: Field required"):
        Settings.load()


def test_every_wrong_variable_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDA_LLM_CONTEXT", "long")
    monkeypatch.setenv("LAMBDA_LLM_KV_TYPE", "f32")
    with pytest.raises(SettingsError, match=r"LAMBDA_LLM_CONTEXT .*; LAMBDA_LLM_KV_TYPE "):
        Settings.load()


@pytest.mark.parametrize("model", ["/models/tiny.gguf", "file:///models/tiny.gguf"])
def test_a_file_has_no_versions(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setenv("LAMBDA_LLM_MODEL", model)
    monkeypatch.setenv("LAMBDA_LLM_MODEL_VERSION_ID", "3HL4kqtJlcpXroDTDmJ")
    with pytest.raises(SettingsError, match="model_version_id is for s3:// models only"):
        Settings.load()


def test_what_is_given_takes_precedence_and_none_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDA_LLM_CONTEXT", "8192")
    monkeypatch.setenv("LAMBDA_LLM_THREADS", "2")
    settings = Settings.load(context=512, threads=None)
    assert settings.context == 512
    assert settings.threads == 2


def test_what_does_not_exist_can_not_be_given() -> None:
    with pytest.raises(SettingsError, match="LAMBDA_LLM_TEMPERATURE can't be used: Extra inputs are not permitted"):
        Settings.load(temperature=1)


def test_settings_stay_as_they_are() -> None:
    settings = Settings.load()
    with pytest.raises(ValidationError):
        settings.context = 5


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("LAMBDA_LLM_CONTXT", "LAMBDA_LLM_CONTEXT"),
        ("LAMBDA_LLM_CONTEXT_LENGTH", "LAMBDA_LLM_CONTEXT"),
        ("LAMBDA_LLM_MODEL_SHA", "LAMBDA_LLM_MODEL_SHA256"),
        ("LAMBDA_LLM_KVTYPE", "LAMBDA_LLM_KV_TYPE"),
        ("LAMBDA_LLM_KEEP_ALIVE_SECONDS", "LAMBDA_LLM_KEEPALIVE_SECONDS"),
        ("LAMBDA_LLM_SESSION", "LAMBDA_LLM_SESSIONS"),
        ("LAMBDA_LLM_SYSTEMPROMPT", "LAMBDA_LLM_SYSTEM_PROMPT"),
        ("lambda_llm_thread", "LAMBDA_LLM_THREADS"),
        ("LAMBDA_LLM_URI", "LAMBDA_LLM_URL"),
    ],
)
def test_a_variable_that_is_no_setting_is_told_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, name: str, near: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert str(caught.value) == f"{name} is not a setting: did you mean {near}?"


@pytest.mark.parametrize("name", ["LAMBDA_LLM_", "LAMBDA_LLM_ZZZ", "LAMBDA_LLM_BANANAS"])
def test_a_variable_that_is_near_none_is_told(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    with pytest.raises(SettingsError, match=f"^{name} is not a setting: unset it; README.md has a table of all"):
        Settings.load()


def test_unknown_and_wrong_variables_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONTEXT", "THREAD", "SESSION"):
        monkeypatch.setenv(PREFIX + name, "?")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    said = str(caught.value)
    assert [part.split()[0] for part in said.split("; ")] == [
        "LAMBDA_LLM_CONTEXT",
        "LAMBDA_LLM_SESSION",
        "LAMBDA_LLM_THREAD",
    ]


@pytest.mark.parametrize("name", [*OTHERS, "STATE_BUCKET", "AUTHORIZER_TABLE"])
def test_what_others_read_is_no_mistake(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(PREFIX + name, "anything")
    assert Settings.load().model == "s3://models/tiny.gguf"


def test_variables_of_other_programs_are_no_business_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LAMBDA_LLMS", "AWS_LAMBDA_LLM_CONTXT", "LAMBDA_TASK_ROOT"):
        monkeypatch.setenv(name, "1")
    Settings.load()


def test_every_variable_that_the_project_sets_or_reads_is_known() -> None:
    known = {PREFIX + name for name in (*map(str.upper, Settings.model_fields), *OTHERS)}
    sources = [
        path
        for folder, patterns in {"modules": ["*.tf"], "examples": ["*.tf", "*.py"], "functions": ["*.py"]}.items()
        for pattern in patterns
        for path in (ROOT / folder).rglob(pattern)
        if ".terraform" not in path.parts
    ] + [*ROOT.glob("*.tf"), *(ROOT / "scripts").rglob("*.py")]
    found = {
        name: path
        for path in sources
        for name in re.findall(r"\bLAMBDA_LLM_[A-Z][A-Z0-9_]*[A-Z0-9]\b", path.read_text())
    }
    assert {"LAMBDA_LLM_MODEL", "LAMBDA_LLM_PRUNE_FUNCTION", "LAMBDA_LLM_SESSIONS"} <= found.keys()
    of_others = tuple(PREFIX + begin for begin in OTHERS_BEGIN)
    assert {name: path for name, path in found.items() if name not in known and not name.startswith(of_others)} == {}


def test_a_setting_of_an_earlier_version_is_refused_with_what_took_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDA_LLM_TRUST_USER", "true")
    with pytest.raises(SettingsError, match=r"TRUST_USER is not a setting: write LAMBDA_LLM_TENANT=user in its place"):
        Settings.load()
