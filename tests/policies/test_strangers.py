"""The three ways of docs/policies/README.md, run as written in a stranger's repository: checkov is all it has."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

from lambda_llm import __version__
from scripts.local_aws import terraform
from support.policies import CHECKOV, HERE, PROVIDER, ROOT, checkov_environment

DOC: Final = (ROOT / "docs/policies/README.md").read_text(encoding="utf-8")
COMMANDS: Final = re.findall("^```sh\n(.*?)^```", DOC, re.MULTILINE | re.DOTALL)
URL: Final = "https://github.com/OWNER/lambda-llm"
OURS: Final = ("functions", "docs/policies", "tests/policies", ".pre-commit-hooks.yaml")
GOOD, BAD = (HERE / f"fixtures/CKV_LLM_11/{name}/main.tf" for name in ("pass", "fail"))
FOUND: Final = {"CKV_LLM_11", "CKV_LLM_15"}
"""What the bad configuration breaks; it has no pruner either."""


def git(folder: Path, *arguments: str) -> None:
    name = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    subprocess.run(["git", *name, *arguments], cwd=folder, check=True, capture_output=True)


def repository(folder: Path) -> Path:
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "all")
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of this project as others clone it, with what is in the work tree now under the tag of the docs."""
    folder = tmp_path_factory.mktemp("published")
    for path in OURS:
        target = folder / path
        if (ROOT / path).is_dir():
            shutil.copytree(ROOT / path, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / path, target)
    git(repository(folder), "tag", f"v{__version__}")
    return folder.as_uri()


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    (tmp_path / "main.tf").write_text(BAD.read_text(encoding="utf-8") + PROVIDER, encoding="utf-8")
    return repository(tmp_path)


def sh(folder: Path, script: str, published: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = checkov_environment(**terraform.environment()) | {"PATH": checkov_environment()["PATH"]} | variables
    command = script.replace(URL, published)
    done = subprocess.run(
        ["sh", "-e"], input=command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def failed(output: str) -> set[str]:
    return set(re.findall(r"Check: (\w+): .*\n\s*FAILED", output))


def test_the_docs_pin_what_is_here() -> None:
    assert set(re.findall(r"\bv\d+\.\d+\.\d+\b", DOC)) == {f"v{__version__}"}
    lock = (ROOT / "requirements/checkov.txt").read_text(encoding="utf-8")
    assert set(re.findall(r"checkov==[\d.]+", DOC)) == set(re.findall(r"^checkov==[\d.]+", lock, re.MULTILINE))


@pytest.mark.needs("terraform", get="https://developer.hashicorp.com/terraform/install")
def test_on_the_command_line(stranger: Path, published: str) -> None:
    of_hcl, with_modules_of_others, of_a_plan, with_checkov = COMMANDS
    # Also on the other of the two kinds of graph that checkov can make.
    done = sh(stranger, of_hcl, published, CHECKOV_GRAPH_FRAMEWORK="NETWORKX")
    assert (done.returncode, failed(done.stdout)) == (1, FOUND), done.stderr
    done = sh(stranger, with_modules_of_others, published)
    assert (done.returncode, failed(done.stdout)) == (1, FOUND), done.stderr
    terraform.run(stranger, "init")
    done = sh(stranger, of_a_plan, published)
    assert (done.returncode, failed(done.stdout)) == (1, FOUND), done.stderr
    done = sh(stranger, with_checkov, published)
    assert (done.returncode, failed(done.stdout) > FOUND) == (1, True), done.stderr
    assert any(check.startswith("CKV_AWS_") for check in failed(done.stdout))


def test_as_a_pre_commit_hook(stranger: Path, published: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    (config,) = re.findall("^```yaml\n(repos:.*?)^```", DOC, re.MULTILINE | re.DOTALL)
    (stranger / ".pre-commit-config.yaml").write_text(config.replace(URL, published), encoding="utf-8")
    git(stranger, "add", "--all")
    home = str(tmp_path_factory.mktemp("pre-commit"))
    done = sh(stranger, "pre-commit run --all-files", published, PRE_COMMIT_HOME=home)
    assert (done.returncode, failed(done.stdout)) == (1, FOUND), done.stdout + done.stderr
    (stranger / "main.tf").write_text(GOOD.read_text(encoding="utf-8"), encoding="utf-8")
    shutil.copy(HERE / "pruner.tf", stranger)
    git(stranger, "add", "--all")
    done = sh(stranger, "pre-commit run --all-files", published, PRE_COMMIT_HOME=home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed" in done.stdout


def test_as_a_step_of_ci_that_writes_sarif(stranger: Path, published: str) -> None:
    (workflow,) = re.findall("^```yaml\n(name:.*?)^```", DOC, re.MULTILINE | re.DOTALL)
    own, ours, install, check, upload = yaml.safe_load(workflow)["jobs"]["policies"]["steps"]
    assert own["uses"] == ours["uses"]
    assert f"https://github.com/{ours['with']['repository']}" == URL
    assert install["run"].startswith("pipx install checkov==")
    git(stranger, "clone", "--quiet", "--branch", ours["with"]["ref"], published, ours["with"]["path"])
    done = sh(stranger, check["run"], published)
    assert (done.returncode, failed(done.stdout)) == (1, FOUND), done.stderr
    (run,) = json.loads((stranger / upload["with"]["sarif_file"]).read_text(encoding="utf-8"))["runs"]
    assert {rule["id"]: rule["properties"]["security-severity"] for rule in run["tool"]["driver"]["rules"]} == {
        "CKV_LLM_11": "10.0",
        "CKV_LLM_15": "6.9",
    }
    levels = {}
    for result in run["results"]:
        levels[result["ruleId"]] = result["level"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "main.tf"
        lines = (stranger / "main.tf").read_text(encoding="utf-8").splitlines()
        assert lines[place["region"]["startLine"] - 1].startswith('resource "aws_lambda_function')
        # What GitHub refuses: an attachment that is no file.
        assert not result["attachments"]
    assert levels == {"CKV_LLM_11": "error", "CKV_LLM_15": "warning"}


def test_without_checkov_it_says_what_to_install(tmp_path: Path) -> None:
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    assert python is not None
    command = [python, str(ROOT / "functions/lambda_llm/policies")]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        "checkov was not found, neither beside this Python nor on PATH. Install it in an environment of its own: "
        "pipx install checkov\n"
    )


def test_help_teaches_and_needs_no_checkov(tmp_path: Path) -> None:
    command = [str(CHECKOV / "python"), str(ROOT / "functions/lambda_llm/policies")]
    done = subprocess.run([*command, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "CKV_LLM" in done.stdout
    assert "--output sarif" in " ".join(done.stdout.split())
    done = subprocess.run([*command, "--path"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{ROOT / 'functions/lambda_llm/policies/checks'}\n"
