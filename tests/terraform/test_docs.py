"""Each module's README: its block is valid as it stands, and its tables are the module's own."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lambda_llm import __version__
from scripts.docs import hcl
from scripts.docs import module_tables as module_docs
from scripts.local_aws import terraform
from support.modules import MODULES, ROOT, adapt, initializable, name

DOCUMENTED = [module for module in MODULES if module != ROOT]
BLOCKS = re.compile(r"^```hcl\n(.*?)^```", re.MULTILINE | re.DOTALL)
FIXTURES = {
    "inference": "modules/inference/tests/fixtures",
    "pruner": "modules/version-pruner/tests/fixtures",
    "authorizer": "modules/front-door/tests/fixtures",
    "canary-rollback": "modules/canary-rollback/tests/fixtures",
    "agent": "modules/durable-agent/tests/fixtures",
    "router": "modules/router/tests/fixtures",
    "batch": "modules/batch/tests/fixtures",
}
"""Folder of a zip with its manifest, by the function that it is for."""

PUSHED = {
    "bucket": "my-models",
    "key": "models/llama.gguf",
    "version_id": "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY",
    "size": 770_000_000,
    "sha256": "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c",
}


GIT = "git::https://github.com/OWNER/lambda-llm.git"
RELEASE = f"v{__version__}"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a git repository with what would be checked in here, tagged as this version's release."""
    folder = tmp_path_factory.mktemp("repository")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.tf", "modules"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for file in filter(None, listed.stdout.decode().split("\0")):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / file)
    adapt(folder)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com", "-C", str(folder)]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--message", "all"], ["tag", RELEASE]):
        subprocess.run([*git, *command], check=True, stdout=subprocess.DEVNULL)
    return f"git::file://{folder}"


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A person's folder, with the project and what `make package` and `lambda-llm push` made beside it."""
    checkout, folder = tmp_path / "lambda-llm", tmp_path / "stack"
    shutil.copytree(ROOT / "modules", checkout / "modules", ignore=shutil.ignore_patterns(".terraform*"))
    for file in ROOT.glob("*.tf"):
        shutil.copy(file, checkout)
    adapt(checkout)
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


def written(module: Path) -> list[str]:
    """The blocks of a module's README."""
    return BLOCKS.findall((module / "README.md").read_text(encoding="utf-8"))


BLOCKS_BY_ID = {
    f"{name(module)}-{index}": block for module in initializable() for index, block in enumerate(written(module))
}
NEEDS_A_BUILD = "root-0"
"""Uses the zips of the clone that it is in; fetched from git, it says that there are none."""
TERRAFORM = pytest.mark.needs("terraform", get="Terraform, https://developer.hashicorp.com/terraform/install")


def valid(stack: Path, block: str) -> None:
    (stack / "main.tf").write_text(block, encoding="utf-8")
    terraform.run(stack, "init")
    assert "Success!" in terraform.run(stack, "validate")


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_readme_shows_how_to_call_its_module(module: Path) -> None:
    sources = re.findall(r'source *= "(.*)"', "".join(written(module)))
    folder = module.relative_to(ROOT)
    assert f"../lambda-llm/{folder}".removesuffix("/.") in sources, "as in a clone beside one's own folder"


def test_a_block_from_git_names_this_version_s_release() -> None:
    sources = re.findall(rf'source *= "({re.escape(GIT)}.*)"', "".join(BLOCKS_BY_ID.values()))
    assert f"{GIT}//modules/inference?ref={RELEASE}" in sources
    assert {source.partition("?ref=")[2] for source in sources} == {RELEASE}


@pytest.mark.parametrize("block", BLOCKS_BY_ID)
@TERRAFORM
def test_the_block_of_a_readme_is_valid(block: str, stack: Path, repository: str) -> None:
    valid(stack, BLOCKS_BY_ID[block].replace(GIT, repository))


@pytest.mark.parametrize(
    "block", [block for block, text in BLOCKS_BY_ID.items() if GIT not in text and block != NEEDS_A_BUILD]
)
@TERRAFORM
def test_the_block_of_a_readme_is_valid_from_git(block: str, stack: Path, repository: str) -> None:
    fetched = BLOCKS_BY_ID[block].replace('"../lambda-llm/modules', f'"{repository}//modules')
    assert repository in fetched
    valid(stack, fetched)


@TERRAFORM
def test_the_root_module_from_git_says_that_nothing_is_built_there(stack: Path, repository: str) -> None:
    block = BLOCKS_BY_ID[NEEDS_A_BUILD].replace('"../lambda-llm"', f'"{repository}"')
    assert repository in block
    with pytest.raises(terraform.TerraformError) as refused:
        valid(stack, block)
    said = " ".join(re.sub(r"[│╷╵]", " ", str(refused.value)).split())
    for variable in ("package", "pruner_package"):
        assert f"{variable} is left out, and there is no .terraform/modules/llm/dist/lambda-llm-" in said
        assert f"so set {variable} to a zip and manifest in S3 or on this machine." in said


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
