"""Every fixture and case through one run of checkov."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from support.policies import HERE, Found, findings, lay_out, plans, reports, run_policies, trees


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Found]]:
    """What checkov found, by framework and fixture."""
    folder = tmp_path_factory.mktemp("policies")
    lay_out(folder / "hcl")
    (folder / "plans").mkdir()
    for name, plan in plans(tmp_path_factory.mktemp("terraform")).items():
        (folder / "plans" / f"{name}.json").write_text(json.dumps(plan), encoding="utf-8")
    done = run_policies(folder, "--directory", ".", "--output", "json")
    assert done.returncode == 1, done.stderr
    result: dict[str, dict[str, Found]] = {"terraform": defaultdict(Found), "terraform_plan": defaultdict(Found)}
    names = {f"/hcl/{path.relative_to(HERE)}": name for name, path in trees().items()}
    for framework, report in reports(done.stdout).items():
        assert not report["results"]["parsing_errors"]
        for file, outcome, (check, address) in findings(report):
            planned = framework == "terraform_plan"
            name = Path(file).stem if planned else next(of for at, of in names.items() if file.startswith(f"{at}/"))
            getattr(result[framework][name], outcome).add((check, address.removeprefix(f"module.{name}.")))
    return result
