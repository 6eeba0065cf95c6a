"""`lambda-llm inspect`: what a model is and whether it fits."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lambda_llm.limits import MEMORY_MB, MIB
from support.command_line import Run
from support.models import string, write_llama
from support.mutations import taken_apart
from support.rewrite import rewrite

FACTS = {
    "architecture": "llama",
    "name": "lambda-llm demo",
    "context_length": 2048,
    "chat_template": True,
    "version_id": None,
    "crc64nvme": None,
}


def test_a_script_gets_every_figure(run: Run, demo_model: Path) -> None:
    told = run("inspect", demo_model, "--json")
    assert (told.status, told.err) == (0, "")
    said = json.loads(told.out)
    fit = said.pop("fit")
    assert FACTS.items() <= said.items()
    assert (said["model"], said["size"]) == (str(demo_model), demo_model.stat().st_size)
    assert said["parameters"] > 1_000_000
    assert said["layers"] > 0
    assert said["vocabulary"] > 1000
    assert set(said["memory"]) == {"kv_per_token", "per_token", "fixed", "context_length"}
    assert set(said["tensor_types"]) == {"Q8_0", "F32"}
    assert fit.pop("fits") is True
    assert fit.pop("placement") == "copied"
    assert fit.pop("context") == 2048
    assert fit.pop("memory") == MEMORY_MB * MIB
    resident, peak = fit.pop("resident"), fit.pop("peak")
    assert resident == sum(fit.values())
    assert peak >= resident
    assert set(fit) == {"weights", "kv_cache", "compute_buffers", "process"}


def test_a_person_gets_a_table_and_a_verdict(run: Run, demo_model: Path) -> None:
    told = run("inspect", demo_model)
    assert told.status == 0
    assert told.out.rstrip().endswith("It fits.")
    for part in ("lambda-llm demo", "llama, 3.", "Q8_0", "2,048 tokens", "10,240 MB", "copied", "Chat template"):
        assert part in told.out


@pytest.mark.parametrize("options", [["--json"], []])
def test_a_model_that_does_not_fit_is_status_2(run: Run, demo_model: Path, options: list[str]) -> None:
    told = run("inspect", demo_model, "--memory-mb", 100, *options)
    assert (told.status, told.err) == (2, "")
    if options:
        assert json.loads(told.out)["fit"]["fits"] is False
    else:
        assert told.out.rstrip().endswith("It does not fit.")


def test_context_type_of_the_cache_and_placement_change_the_figures(run: Run, demo_model: Path) -> None:
    def kv(*options: object) -> int:
        return int(json.loads(run("inspect", demo_model, "--json", *options).out)["fit"]["kv_cache"])

    assert kv("--context", 1024) * 2 == kv()
    assert kv("--kv-type", "q8_0") == kv() * 34 // 64
    mapped = json.loads(run("inspect", demo_model, "--json", "--weights", "mapped").out)["fit"]
    assert (mapped["placement"], mapped["weights"]) == ("mapped", demo_model.stat().st_size)


def test_the_variables_of_the_server_count_here_too(
    run: Run, demo_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_LLM_CONTEXT", "512")
    assert json.loads(run("inspect", demo_model, "--json").out)["fit"]["context"] == 512
    assert json.loads(run("inspect", demo_model, "--json", "--context", 256).out)["fit"]["context"] == 256


def test_a_model_without_a_template_is_said_to_have_none(run: Run, demo_model: Path, tmp_path: Path) -> None:
    silent = rewrite(demo_model, tmp_path / "silent.gguf", {"tokenizer.chat_template": None, "general.name": None})
    assert json.loads(run("inspect", silent, "--json").out)["chat_template"] is False
    told = run("inspect", silent)
    assert "none: chat requests will be refused" in told.out
    assert "silent" in told.out


def test_a_name_in_brackets_is_shown_as_it_is(run: Run, demo_model: Path, tmp_path: Path) -> None:
    model = rewrite(demo_model, tmp_path / "m.gguf", {"general.name": "demo [v1] [/b]"})
    assert "demo [v1] [/b]" in run("inspect", model).out


@pytest.mark.parametrize("options", [["--json"], []])
def test_a_name_can_t_tell_the_terminal_what_to_do(
    run: Run, demo_model: Path, tmp_path: Path, options: list[str]
) -> None:
    model = rewrite(demo_model, tmp_path / "m.gguf", {"general.name": "evil\x1b]0;x\x07\x9b2J\u202e name"})
    told = run("inspect", model, *options)
    assert told.status == 0
    assert "evil" in told.out
    assert not set(told.out) & set("\x1b\x07\x9b\u202e") if not options else "\x1b" not in told.out
    if not options:
        assert "evil]0;x2J name" in told.out


def test_a_name_in_latin_1_is_shown(run: Run, demo_model: Path, tmp_path: Path) -> None:
    parts = taken_apart(demo_model.read_bytes())
    pairs = [(key, kind, string(b"Ren\xe9") if key == "general.name" else value) for key, kind, value in parts.pairs]
    (tmp_path / "m.gguf").write_bytes(replace(parts, pairs=tuple(pairs)).written())
    assert "Ren\xe9" in run("inspect", tmp_path / "m.gguf").out


def test_weights_that_can_t_be_mapped_are_copied(run: Run, demo_model: Path, tmp_path: Path) -> None:
    parts = taken_apart(demo_model.read_bytes())
    aligned = ("general.alignment", 4, (8).to_bytes(4, "little"))
    model = tmp_path / "m.gguf"
    model.write_bytes(replace(parts, pairs=(aligned, *parts.pairs)).written())
    fit = json.loads(run("inspect", model, "--json").out)["fit"]
    assert fit["placement"] == "copied"
    told = run("inspect", model, "--weights", "mapped")
    assert told.status == 1
    assert "aligns the weights to 8 bytes, but mapped ones need 32: set LAMBDA_LLM_WEIGHTS=copied." in told.err


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        ("missing.gguf", [], "There is no file missing.gguf: check the path."),
        ("http://x/y.gguf", [], "unknown scheme 'http'"),
        ("s3://bucket", [], "names no object in S3: write s3://BUCKET/KEY."),
        ("m.gguf", ["--version-id", "v"], "model_version_id is for s3:// models only"),
        ("m.gguf", ["--sha256", "abc"], "LAMBDA_LLM_MODEL_SHA256 can't be used"),
        ("m.gguf", ["--context", "1"], "LAMBDA_LLM_CONTEXT can't be used: Input should be greater than or equal to 8"),
        ("m.gguf", ["--kv-type", "f32"], "LAMBDA_LLM_KV_TYPE can't be used: Input should be 'f16' or 'q8_0'"),
        ("m.gguf", ["--weights", "x"], "LAMBDA_LLM_WEIGHTS can't be used"),
        ("noise.gguf", [], "is not a GGUF file"),
        ("vocabulary.gguf", [], "has no weights, only a vocabulary"),
        ("m.gguf", ["--context", "4096"], "is longer than the 512 that the model was trained for"),
    ],
)
def test_what_can_t_be_inspected_is_one_sentence_and_status_1(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, options: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noise.gguf").write_bytes(bytes(range(256)))
    write_llama(tmp_path / "m.gguf")
    write_llama(tmp_path / "vocabulary.gguf", tensors=False)
    told = run("inspect", model, *options)
    assert (told.status, told.out) == (1, "")
    assert says in told.err
    assert told.err.startswith("Error: ")
    assert told.err.count("\n") == 1
