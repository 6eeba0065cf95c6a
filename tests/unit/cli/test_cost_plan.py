"""`lambda-llm cost plan`, as a table, as JSON and as a comment, and the CI step of docs/cost-plan.md."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from lambda_llm.cli.cost_plan_shown import MARKER
from scripts import ROOT
from support.command_line import Run

PLANS = ROOT / "tests/unit/cost/plans/recorded"
CREATED = PLANS / "created.json"
DOCUMENT = ROOT / "docs/cost-plan.md"
ROUTER = "module.router.aws_lambda_function.this"
INFERENCE = "module.inference.aws_lambda_function.this"


def hostile(tmp_path: Path) -> Path:
    """A plan whose keys and types would be anything but text."""
    key = 'module.x["a`b``c|d<img src=x>@octocat [l](http://e.example)\\n# h"]'
    after: dict[str, Any] = {"instance_type": "<script>|**b** `c` @me [l](http://e.example)"}
    change = {"actions": ["create"], "before": None, "after": after, "after_unknown": {}}
    item = {"address": f"{key}.aws_instance.a", "module_address": key, "mode": "managed", "name": "a", "change": change}
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"format_version": "1.2", "resource_changes": [{**item, "type": "aws_instance"}]}))
    return file


def test_the_table_begins_with_the_whole_and_ends_with_what_is_not_counted(run: Run) -> None:
    told = run("cost", "plan", CREATED)
    assert (told.status, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[0] == "Idle this costs at least $58.34 a month, $58.34 more than before."
    assert lines[1].startswith(
        f"! Nobody deletes unused versions of {ROUTER}: every later apply that changes it leaves"
    )
    assert "$1.98 a month each" in lines[1]
    shown = " ".join(told.out.split())
    assert f"{INFERENCE} create - $39.54 +$39.54 $1.3335" in shown
    assert "module.inference $0.00 $39.54 +$39.54 $1.3335" in shown
    assert 'module.gpu["ecs"] at least $0.00 $16.73 +$16.73' in shown
    assert "total at least $0.00 $58.34 +$58.34 $1.4049" in shown
    assert f"{INFERENCE}: $0.000133334 a busy second; $0.001397998 a restore." in told.out
    assert 'Not priced here: module.gpu["ecs"].aws_ecs_cluster.this[0]: Container Insights' in told.out
    assert "10 s each in a function" in told.out
    assert lines[-1].endswith("resources cost nothing by themselves.")


def test_json_is_one_object(run: Run) -> None:
    told = run("cost", "plan", CREATED, "--json", "--seconds-per-request", "2.5")
    data = json.loads(told.out)
    assert data["seconds_per_request"] == 2.5
    assert data["modules"]["module.inference"]["month"]["after"] == pytest.approx(39.540888)
    assert data["modules"]["module.inference"]["thousand_requests"]["after"] == pytest.approx(
        0.333535
    )  # 1,000 * (2.5 * 0.000133334 + 0.0000002)


def test_a_plan_comes_from_standard_input_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CREATED.read_bytes())))
    assert run("cost", "plan", "-").out.startswith("Idle this costs at least $58.34")


def measurement(tmp_path: Path) -> Path:
    def quantity(median: float) -> dict[str, float]:
        return {"n": 3, "median": median, "spread": 0.1}

    prompt = {
        "prompt_tokens": 512,
        "prefill_tokens_per_second": quantity(100),
        "first_token_seconds": quantity(5),
        "cached_first_token_seconds": None,
        "cached_to_new": None,
    }
    content = {
        "schema": "lambda-llm-bench/1",
        "date": "2026-11-26T22:00:00+00:00",
        "lambda_llm": "0.1.0",
        "model": "demo",
        "url_kind": "function_url",
        "region": "us-east-1",
        "memory_mb": 10240,
        "backend": "armv8.6_1",
        "threads": 6,
        "context": 4096,
        "clock": "server",
        "prompts": [prompt],
        "failures": [],
        "decode_tokens_per_second": quantity(20),
    }
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(content))
    return file


def test_a_measurement_tells_the_seconds_of_a_request(run: Run, tmp_path: Path) -> None:
    options = ("--measured", measurement(tmp_path), "--prompt-tokens", "400", "--answer-tokens", "60")
    data = json.loads(run("cost", "plan", CREATED, "--json", *options).out)
    assert data["seconds_per_request"] == pytest.approx(400 / 100 + 60 / 20)


@pytest.mark.parametrize(("limit", "status"), [("58.34", 1), ("58.35", 0), ("0", 1)])
def test_a_plan_that_costs_more_than_allowed_fails_and_is_still_shown(run: Run, limit: str, status: int) -> None:
    told = run("cost", "plan", CREATED, "--markdown", "--fail-above", limit)
    assert told.status == status
    assert told.out.startswith(MARKER)
    assert ("raises what is paid idle by $58.34 a month" in told.err) == bool(status)


def test_a_plan_that_costs_less_never_fails(run: Run) -> None:
    told = run("cost", "plan", PLANS / "removed.json", "--fail-above", "0")
    assert told.status == 0
    assert told.out.startswith("Idle this costs $0.00 a month, $39.54 less than before.")


def test_an_instance_s_price_can_be_given(run: Run) -> None:
    told = run("cost", "plan", CREATED, "--json", "--instance-price", "g6.xlarge=3", "--instance-price", "p9.huge=9")
    use = [use for one in json.loads(told.out)["resources"] for use in (one["after"] or {}).get("use", [])]
    assert "$3.00 an hour of g6.xlarge" in use


def rendered(comment: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(comment)


def cells(comment: str) -> list[list[str]]:
    """The rows of every table, as text."""
    rows: list[list[str]] = []
    for token in rendered(comment):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows and token.level > 2:
            rows[-1].append("".join(child.content for child in token.children or []))
    return rows


def test_the_comment_is_a_verdict_a_warning_and_two_tables(run: Run) -> None:
    comment = run("cost", "plan", CREATED, "--markdown").out
    assert comment.splitlines()[0] == MARKER
    tokens = rendered(comment)
    kinds = [token.type for token in tokens]
    assert (kinds.count("table_open"), kinds.count("blockquote_open")) == (2, 1)
    heading = tokens[kinds.index("heading_open") + 1].content
    assert heading == "Idle this costs at least $58.34 a month, $58.34 more than before."
    quote = tokens[kinds.index("blockquote_open") + 2].content
    assert quote.startswith(f"[!WARNING]\nNobody deletes unused versions of `{ROUTER}`")
    rows = cells(comment)
    assert {len(row) for row in rows} == {7}
    head = ["", "Before", "After", "More", "1,000 requests", "By use"]
    assert [row for row in rows if row[1:] == head] == [["Module", *head], ["Resource", *head]]
    assert ["module.inference", "", "$0.00", "$39.54", "+$39.54", "$1.3335", ""] in rows
    assert ["total", "at least", "$0.00", "$58.34", "+$58.34", "$1.4049", ""] in rows
    use = "$0.000133334 a busy second; $0.001397998 a restore"
    assert [INFERENCE, "create", "-", "$39.54", "+$39.54", "$1.3335", use] in rows
    assert [token.content.strip() for token in tokens if token.type == "html_block"] == [
        MARKER,
        "<details><summary>Every resource that costs</summary>",
        "</details>",
    ]


def test_nothing_of_a_plan_is_more_than_text_in_the_comment(run: Run, tmp_path: Path) -> None:
    comment = run("cost", "plan", hostile(tmp_path), "--markdown").out
    tokens = rendered(comment)
    inner = [child for token in tokens for child in token.children or []]
    assert {child.type for child in inner} <= {"text", "code_inline", "softbreak", "text_special"}
    assert {len(row) for row in cells(comment)} == {7}
    assert "@me" not in comment
    code = [child.content for child in inner if child.type == "code_inline"]
    assert any("a`b``c|d<img src=x>@octocat" in content for content in code)
    text = "".join(child.content for child in inner if child.type in {"text", "text_special"})
    assert "<script>|**b** `c` @me [l](http://e.example) has no price here" in text


def test_a_terminal_obeys_nothing_of_a_plan(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(CREATED.read_text().replace("module.router", "module.r[red]\\u001b[31mouter"))
    told = run("cost", "plan", file)
    assert "\x1b" not in told.out
    assert "[red]" in told.out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04", "binary form"),
        (b"terraform {}", "no JSON"),
        (b'{"format_version": "1.2", "resource_ch', "cut off"),
        (b'{"lineage": "x"}', "a state"),
    ],
)
def test_what_is_no_plan_is_one_sentence(run: Run, tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "plan"
    file.write_bytes(content)
    told = run("cost", "plan", file)
    assert (told.status, told.out) == (1, "")
    assert says in told.err
    assert "terraform show -json" in told.err
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([CREATED, "--json", "--markdown"], 2, "give one"),
        ([CREATED, "--measured", CREATED, "--seconds-per-request", "1"], 2, "leave --seconds-per-request out"),
        ([CREATED, "--fail-above", "nan"], 2, "--fail-above is nan: give a number"),
        ([CREATED, "--seconds-per-request", "inf"], 2, "--seconds-per-request is inf: give a number"),
        ([CREATED, "--instance-price", "g6.xlarge"], 2, "TYPE=DOLLARS_AN_HOUR"),
        ([CREATED, "--instance-price", "g6.xlarge=-1"], 2, "TYPE=DOLLARS_AN_HOUR"),
        ([CREATED, "--instance-price", "g6.xlarge=nan"], 2, "TYPE=DOLLARS_AN_HOUR"),
        ([CREATED, "--measured", CREATED], 1, "schema"),
        ([CREATED, "--measured", DOCUMENT], 1, "is not JSON"),
        (["no/such.json"], 1, "can't be read"),
    ],
)
def test_what_can_t_be_meant_is_refused(run: Run, arguments: list[Any], status: int, says: str) -> None:
    told = run("cost", "plan", *arguments)
    assert told.status == status
    assert says in " ".join(told.err.replace("│", " ").split())


def test_the_document_s_example_is_what_is_said(run: Run, tmp_path: Path) -> None:
    """An update of a function whose pruner is left out."""
    content = json.loads((PLANS / "updated.json").read_text().replace("module.llm.", ""))
    content["resource_changes"] = [one for one in content["resource_changes"] if "version_pruner" not in one["address"]]
    (tmp_path / "plan.json").write_text(json.dumps(content))
    said = run("cost", "plan", tmp_path / "plan.json").out.split("\n\n")[0]
    (shown,) = re.findall(r"^```text\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert said.split() == shown.split()


def test_it_takes_typer_and_rich_and_nothing_else_of_the_extras(tmp_path: Path) -> None:
    """As the CI step installs it."""
    absent = (
        "awscrt",
        "fastapi",
        "jinja2",
        "llama_cpp",
        "mangum",
        "numpy",
        "openai",
        "starlette",
        "tenacity",
        "uvicorn",
    )
    program = f"import sys; sys.modules.update(dict.fromkeys({absent!r})); from lambda_llm.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "cost", "plan", CREATED, "--markdown"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(MARKER)


# -- The CI step -------------------------------------------------------------------------------------


def workflow() -> dict[Any, Any]:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    parsed: dict[Any, Any] = yaml.safe_load(text)
    return parsed


def steps() -> dict[str, dict[str, Any]]:
    return {step["name"]: step for step in workflow()["jobs"]["cost"]["steps"]}


def test_the_workflow_may_comment_and_nothing_else() -> None:
    assert workflow()["permissions"] == {"contents": "read", "pull-requests": "write", "id-token": "write"}
    # `on` is a boolean to YAML 1.1.
    assert True in workflow()
    assert workflow()[True] == "pull_request"


def test_its_command_is_one(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.json").write_bytes((PLANS / "updated.json").read_bytes())
    command, _, into = steps()["Say what it costs"]["run"].strip().partition(" > ")
    program, *words = shlex.split(command)
    assert (program, into) == ("lambda-llm", "comment.md")
    assert run(*words).out.startswith(MARKER)


@pytest.mark.parametrize("earlier", [True, False])
def test_its_script_posts_a_comment_or_changes_the_earlier_one(tmp_path: Path, earlier: bool) -> None:  # noqa: FBT001
    """With a `gh` that writes down how it is called, and lists comments as the filter of the real one would."""
    comments = [{"id": 7, "body": "LGTM"}, *([{"id": 8, "body": f"{MARKER}\nold"}] if earlier else [])]
    program = tmp_path / "gh"
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        "with open('calls', 'a') as calls:\n    calls.write(json.dumps(sys.argv[1:]) + '\\n')\n"
        f"if '--jq' in sys.argv:\n    assert {MARKER!r} in sys.argv[sys.argv.index('--jq') + 1]\n"
        f"    for one in {comments!r}:\n        if one['body'].startswith({MARKER!r}):\n            print(one['id'])\n"
    )
    program.chmod(0o755)
    step = steps()["Comment"]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_REPOSITORY": "o/r", "PR": "3"}
    assert set(step["env"]) == {"GH_TOKEN", "PR"}
    assert "always()" in step["if"]
    subprocess.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=environment, check=True)
    asked, posted = map(json.loads, (tmp_path / "calls").read_text().splitlines())
    assert "repos/o/r/issues/3/comments" in asked
    if earlier:
        assert posted == ["api", "--silent", "-X", "PATCH", "repos/o/r/issues/comments/8", "-F", "body=@comment.md"]
    else:
        assert posted == ["pr", "comment", "3", "--repo", "o/r", "--body-file", "comment.md"]
