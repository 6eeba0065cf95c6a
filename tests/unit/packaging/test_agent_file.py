"""Which files with an agent go into its zip, and what is refused of what they import."""

from pathlib import Path

import pytest

from lambda_llm.packaging.agent_file import AgentFile
from lambda_llm.packaging.builder import Destination, build
from lambda_llm.packaging.errors import PackageError
from lambda_llm.packaging.functions import FUNCTIONS
from scripts.build.package import LOCK

PROVIDED = {"boto3", "httpx2", "mcp"}


def written(folder: Path, text: str, name: str = "research.py") -> AgentFile:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return AgentFile(file)


@pytest.mark.parametrize(
    "text",
    [
        "import json\nfrom pathlib import Path\n",
        "import boto3, mcp.client\nfrom httpx2 import Client\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas\n",
    ],
    ids=["standard library", "packages of the zip", "types alone"],
)
def test_what_the_zip_has_may_be_imported(text: str, tmp_path: Path) -> None:
    agent = written(tmp_path, text)
    assert (agent.module, agent.modules(PROVIDED)) == ("research", {})


def test_modules_of_this_package_come_with_what_they_import(tmp_path: Path) -> None:
    agent = written(tmp_path, "from lambda_llm.units import file_size\nimport lambda_llm.agent.errors\n")
    assert set(agent.modules(PROVIDED)) == {
        "lambda_llm",
        "lambda_llm.agent",
        "lambda_llm.agent.errors",
        "lambda_llm.errors",
        "lambda_llm.limits",
        "lambda_llm.units",
    }


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("import pandas.io\n", "pandas"),
        ("def later():\n    from numpy import zeros\n", "numpy"),
        ("import helper\nimport pandas\n", "helper, pandas"),
        ("from lambda_llm.agent.tools.code.e2b import E2BBackend\n", "e2b_code_interpreter"),
    ],
)
def test_what_the_zip_lacks_is_named(text: str, lacking: str, tmp_path: Path) -> None:
    provided = PROVIDED | {"pydantic", "botocore", "anyio", "urllib3", "jsonschema"}
    with pytest.raises(PackageError, match=rf"^research\.py imports {lacking}, which the agent's zip lacks: "):
        written(tmp_path, text).modules(provided)


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("from .helper import x\n", r"\.helper"),
        ("from . import helper\n", r"\."),
        ("import lambda_llm.nothing\n", r"lambda_llm\.nothing"),
    ],
)
def test_what_is_nowhere_is_named(text: str, lacking: str, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=rf"^research\.py imports {lacking}, which does not exist beside it"):
        written(tmp_path, text).modules(PROVIDED)


def test_a_service_that_there_is_not_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "").path
    assert AgentFile(file, aws_services=("dynamodb",)).modules(PROVIDED) == {}
    with pytest.raises(PackageError, match=r"^AWS's SDK has no service s4: name it as boto3\.client does\."):
        AgentFile(file, aws_services=("dynamodb", "s4")).modules(PROVIDED)


def test_what_a_layer_provides_may_be_imported(tmp_path: Path) -> None:
    file = written(tmp_path, "import pandas\n").path
    assert AgentFile(file, frozenset({"pandas"})).modules(PROVIDED) == {}


@pytest.mark.parametrize("name", ["json.py", "mcp.py", "lambda_llm.py"])
def test_a_name_that_would_hide_another_module_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=rf"^{name} would hide the module {name[:-3]}, .*: rename it"):
        written(tmp_path, "", name).modules(PROVIDED)


@pytest.mark.parametrize("name", ["my-agent.py", "1.py", "class.py"])
def test_a_name_that_can_t_be_imported_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="can't be imported by this name: use letters, digits and underscores"):
        written(tmp_path, "", name).modules(PROVIDED)


def test_what_is_no_python_file_is_refused(tmp_path: Path) -> None:
    for file in (tmp_path, tmp_path / "absent.py", written(tmp_path, "", "agent.txt").path):
        with pytest.raises(PackageError, match=r"is no Python file: --agent takes the file that has the Agent"):
            AgentFile(file).modules(PROVIDED)
    with pytest.raises(PackageError, match=r"research\.py is no Python that could be imported: .*line 1"):
        written(tmp_path, "def (:\n").modules(PROVIDED)


def test_only_the_function_for_agents_takes_one(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"^The package of 'pruner' takes no agent\."):
        build(
            FUNCTIONS["pruner"],
            Destination("arm64"),
            lock=LOCK,
            stage=tmp_path / "stage",
            output=tmp_path / "pruner.zip",
            agent=written(tmp_path, ""),
        )
