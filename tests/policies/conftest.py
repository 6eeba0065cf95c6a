"""Every fixture and case through one run of checkov."""

import json
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from support.policies import HERE, Found, findings, lay_out, plans, reports, run_policies, trees


@pytest.fixture(scope="session")
def checked(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """The one run."""
    folder = tmp_path_factory.mktemp("policies")
    lay_out(folder / "hcl")
    (folder / "plans").mkdir()
    for name, plan in plans(tmp_path_factory.mktemp("terraform")).items():
        (folder / "plans" / f"{name}.json").write_text(json.dumps(plan), encoding="utf-8")
    done = run_policies(folder, "--directory", ".", "--output", "json")
    assert done.returncode == 1, done.stderr
    return done


@pytest.fixture(scope="session")
def unjudged(checked: subprocess.CompletedProcess[str]) -> str:
    """What is said of the checks that could not be judged."""
    return checked.stderr


@pytest.fixture(scope="session")
def found(checked: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Found]]:
    """What checkov found, by framework and fixture."""
    result: dict[str, dict[str, Found]] = {"terraform": defaultdict(Found), "terraform_plan": defaultdict(Found)}
    names = {f"/hcl/{path.relative_to(HERE)}": name for name, path in trees().items()}
    for framework, report in reports(checked.stdout).items():
        assert not report["results"]["parsing_errors"]
        for file, outcome, (check, address) in findings(report):
            planned = framework == "terraform_plan"
            name = Path(file).stem if planned else next(of for at, of in names.items() if file.startswith(f"{at}/"))
            getattr(result[framework][name], outcome).add((check, address.removeprefix(f"module.{name}.")))
    return result
