"""Each module's README: its block is valid as it stands, and its tables are the module's own."""

import json
import re
import shutil
from pathlib import Path

import pytest

from scripts.docs import hcl
from scripts.docs import module_tables as module_docs
from scripts.local_aws import terraform
from support.modules import MODULES, ROOT, name

DOCUMENTED = [module for module in MODULES if module != ROOT]
BLOCKS = re.compile(r"^```hcl\n(.*?)^```", re.MULTILINE | re.DOTALL)
FIXTURES = {"inference": "modules/inference/tests/fixtures", "pruner": "modules/version-pruner/tests/fixtures"}
"""Folder of a zip with its manifest, by the function that it is for."""

PUSHED = {
    "bucket": "my-models",
    "key": "models/llama.gguf",
    "version_id": "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY",
    "size": 770_000_000,
    "sha256": "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c",
}


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A person's folder, with the project and what `make package` and `lambda-llm push` made beside it."""
    checkout, folder = tmp_path / "lambda-llm", tmp_path / "stack"
    shutil.copytree(ROOT / "modules", checkout / "modules", ignore=shutil.ignore_patterns(".terraform*"))
    for file in ROOT.glob("*.tf"):
        shutil.copy(file, checkout)
    (checkout / "dist").mkdir()
    folder.mkdir()
    (folder / "dist").symlink_to(checkout / "dist")
    for function, fixtures in FIXTURES.items():
        for suffix in (".zip", ".manifest.json"):
            shutil.copyfile(
                ROOT / fixtures / f"function{suffix}", checkout / f"dist/lambda-llm-{function}-arm64{suffix}"
            )
    (folder / "model.gguf").touch()
    (folder / "model.json").write_text(json.dumps(PUSHED), encoding="utf-8")
    return folder


@pytest.mark.parametrize("module", MODULES, ids=name)
@pytest.mark.needs("terraform", get="Terraform, https://developer.hashicorp.com/terraform/install")
def test_the_block_of_a_readme_is_valid(module: Path, stack: Path) -> None:
    (block,) = BLOCKS.findall((module / "README.md").read_text(encoding="utf-8"))
    (stack / "main.tf").write_text(block, encoding="utf-8")
    terraform.run(stack, "init")
    sources = [(stack / source).resolve() for source in re.findall(r'source = "(.*)"', block)]
    assert stack.parent / "lambda-llm" / module.relative_to(ROOT) in sources
    assert "Success!" in terraform.run(stack, "validate")


@pytest.mark.parametrize("module", DOCUMENTED, ids=name)
def test_the_tables_of_a_readme_are_the_module_s_own(module: Path) -> None:
    readme = (module / "README.md").read_text(encoding="utf-8")
    assert module_docs.with_tables(module) == readme, "run python -m scripts.docs.module_tables"
    for kind in ("Inputs", "Outputs"):
        assert f"## {kind}\n" in readme


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_every_input_and_output_says_what_it_is(module: Path) -> None:
    for block in hcl.module(module):
        if block.kind in {"variable", "output"}:
            assert block.text("description").endswith("."), block.address
            assert block.kind == "output" or "type" in block.attributes, block.address


@pytest.mark.parametrize("module", DOCUMENTED, ids=name)
def test_a_readme_links_to_what_exists(module: Path) -> None:
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", (module / "README.md").read_text(encoding="utf-8")):
        assert (module / target).exists(), target
