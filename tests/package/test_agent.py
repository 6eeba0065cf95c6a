"""The zip of an agent: a file of somebody's, the package without a model, and an SDK that knows what agents call."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lambda_llm.packaging.functions import FUNCTIONS
from scripts import ROOT
from support.lambda_process import running
from support.package import Build, Package

MAX_BYTES = 15_000_000
RESEARCH = ROOT / "examples/agent/research.py"


@pytest.fixture(scope="module")
def agent(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """As examples/agent deploys it."""
    return build(tmp_path_factory.mktemp("agent") / "agent.zip", "agent", "--agent", RESEARCH)


@pytest.fixture(scope="module")
def names(agent: Package) -> set[str]:
    with zipfile.ZipFile(agent.zip) as opened:
        return set(opened.namelist())


def test_it_has_at_most_15_mb(agent: Package, capsys: pytest.CaptureFixture[str]) -> None:
    zipped, unzipped = (f"{agent.said[name] / 1e6:.1f} MB" for name in ("zip_bytes", "unzipped_bytes"))
    with capsys.disabled():
        sys.stdout.write(f"\nagent: {zipped} zipped, {unzipped} unzipped\n")
    assert agent.said["zip_bytes"] < MAX_BYTES
    assert (agent.manifest["architecture"], agent.manifest["native"]) == ("arm64", None)


def test_the_file_is_at_the_top_and_the_manifest_says_so(agent: Package, names: set[str], command: Path) -> None:
    assert agent.said["agent"] == agent.manifest["agent"] == "research"
    with zipfile.ZipFile(agent.zip) as opened:
        assert opened.read("research.py") == RESEARCH.read_bytes()
    assert "research.py" in names
    done = subprocess.run([command, "package", "--verify", agent.zip], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "with research.py" in " ".join(done.stdout.split())


def test_it_has_the_tools_and_no_model_and_no_vendor_s_sdk(names: set[str]) -> None:
    assert names >= {"lambda_llm/agent/tools/mcp.py", "lambda_llm/agent/tools/code/interpreter.py", "mcp/__init__.py"}
    tops = {name.partition("/")[0] for name in names}
    assert not tops & {"llama_cpp", "numpy", "awscrt", "fastapi", "openai", "e2b", "e2b_code_interpreter", "blaxel"}
    own = {name.split("/")[1] for name in names if name.startswith("lambda_llm/")}
    assert not own & {"cli", "engine", "inference", "loading", "packaging", "policies", "serving"}


def test_the_sdk_knows_the_services_of_agents_alone(names: set[str]) -> None:
    data = {name.split("/")[2] for name in names if name.startswith("botocore/data/") and name.count("/") > 2}
    assert data == set(FUNCTIONS["agent"].aws_services)
    assert names >= {f"botocore/data/{name}.json" for name in ("endpoints", "partitions", "_retry")}


def test_building_it_again_gives_the_same_bytes(agent: Package, build: Build, tmp_path: Path) -> None:
    copied = tmp_path / "elsewhere/research.py"
    copied.parent.mkdir()
    copied.write_bytes(RESEARCH.read_bytes())
    copied.chmod(0o700)
    again = build(tmp_path / "again.zip", "agent", "--agent", copied, umask=0o077, cwd=tmp_path)
    assert again.zip.read_bytes() == agent.zip.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--agent", "{mcp}"], "mcp.py would hide the module mcp"),
        (["--agent", "{research}"], "research.py imports pandas, which the agent's zip lacks"),
        (["--agent", "{research}", "--from-layer", "pandas", "--aws-service", "s4"], "AWS's SDK has no service s4"),
        (["--agent", "{research}", "--function", "pruner"], "--agent is for the function agent: leave out --function"),
        (["--function", "agent", "--from-layer", "pandas"], "are for an agent: add --agent FILE.py."),
    ],
)
def test_what_would_not_run_is_refused(arguments: list[str], said: str, command: Path, tmp_path: Path) -> None:
    files = {"mcp": tmp_path / "mcp.py", "research": tmp_path / "research.py"}
    files["mcp"].write_text("")
    files["research"].write_text("import pandas\n")
    given = [each.format(**files) for each in arguments]
    output = ["--local", "--output", str(tmp_path / "agent.zip")]
    done = subprocess.run([command, "package", *given, *output], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert said in " ".join(done.stderr.split())


def test_under_lambda_s_runtime_client_it_says_that_the_function_must_be_durable(build: Build, tmp_path: Path) -> None:
    local = build(tmp_path / "agent.zip", "agent", "--local", "--agent", RESEARCH, "--aws-service", "dynamodb")
    with zipfile.ZipFile(local.zip) as opened:
        opened.extractall(tmp_path / "task")
    assert (tmp_path / "task/botocore/data/dynamodb").is_dir()
    environment = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "LAMBDA_LLM_AGENT": f"{local.manifest['agent']}:agent",
        "LAMBDA_LLM_AGENT_INFERENCE": "arn:aws:lambda:us-east-1:123456789012:function:chat:live",
        "LAMBDA_LLM_STATE": "s3://my-state/state/",
    }
    with running(tmp_path, tmp_path / "task", "agent", environment) as lambda_s:
        report = lambda_s.report({"task": "What is the temperature of Paris?"})
    assert report.path == "/invocation/id-1/error"
    assert report.body["errorType"] == "ExecutionError"
