"""How Terraform is run: where the provider is looked for, and what is said when something is missing."""

from pathlib import Path

import pytest

from scripts.docs import hcl
from scripts.local_aws import terraform
from scripts.local_aws.terraform import MIRROR, PROGRAM, TerraformError


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (MIRROR, PROGRAM, "TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(terraform, "FOLDER", tmp_path / "build/terraform")


def mirror(folder: Path, *, packed: bool = False) -> Path:
    """A mirror without a provider in it, as `terraform providers mirror` lays it out or unpacked."""
    provider = folder / "provider.host/hashicorp/aws"
    platform = terraform.platform_name()
    if packed:
        provider.mkdir(parents=True)
        (provider / f"terraform-provider-aws_5.100.0_{platform}.zip").touch()
    else:
        (provider / "5.100.0" / platform).mkdir(parents=True)
    return folder


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("below", [".", "plugins", "share/plugins"])
def test_a_mirror_is_found_below_the_usual_places(tmp_path: Path, below: str, *, packed: bool) -> None:
    expected = mirror(tmp_path / "usual" / below, packed=packed)
    assert terraform.find_mirror((tmp_path / "absent", tmp_path / "usual")) == expected


def test_a_mirror_for_another_machine_is_none(tmp_path: Path) -> None:
    (tmp_path / "provider.host/hashicorp/aws/5.100.0/plan9_mips").mkdir(parents=True)
    assert terraform.find_mirror((tmp_path,)) is None


def test_the_mirror_that_is_named_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror(tmp_path / "usual")
    named = mirror(tmp_path / "named")
    monkeypatch.setenv(MIRROR, str(named))
    assert terraform.find_mirror((tmp_path / "usual",)) == named


def test_a_named_folder_that_is_no_mirror_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR, str(tmp_path))
    wanted = r"contains no HOST/hashicorp/aws/VERSION/\w+_\w+: create one with `terraform"
    with pytest.raises(TerraformError, match=wanted):
        terraform.find_mirror()


def test_terraform_is_told_of_the_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR, str(mirror(tmp_path / "mirror")))
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(tmp_path / "missing.tfrc"))
    told = Path(terraform.environment()["TF_CLI_CONFIG_FILE"])
    assert f'path    = "{tmp_path / "mirror"}"' in told.read_text(encoding="utf-8")


def test_without_a_mirror_one_copy_of_the_provider_serves_every_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terraform, "find_mirror", lambda: None)
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", "/there/is/no/such.tfrc")
    variables = terraform.environment()
    assert "TF_CLI_CONFIG_FILE" not in variables
    assert Path(variables["TF_PLUGIN_CACHE_DIR"]).is_dir()


def test_a_configuration_of_ones_own_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.tfrc"
    own.touch()
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(own))
    monkeypatch.setenv(MIRROR, "/there/is/no/such/mirror")
    assert terraform.environment()["TF_CLI_CONFIG_FILE"] == str(own)


def test_what_to_install_is_said_where_terraform_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TerraformError, match=r"terraform is not installed: get Terraform 1\.9 or later from https://"):
        terraform.run(tmp_path, "init")


@pytest.mark.needs("terraform", get="Terraform, https://developer.hashicorp.com/terraform/install")
def test_what_terraform_says_is_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terraform, "find_mirror", lambda: None)
    (tmp_path / "main.tf").write_text('nonsense "a" {\n}\n', encoding="utf-8")
    with pytest.raises(TerraformError, match="Unsupported block type"):
        terraform.run(tmp_path, "init")


def test_blocks_are_read_with_what_stands_in_them(tmp_path: Path) -> None:
    file = tmp_path / "main.tf"
    text = (
        'data "aws_region" "current" {}\n'
        "\n"
        'variable "model" {\n'
        '  description = "Say \\"which\\"."\n'
        "  type = object({\n"
        "    key = string\n"
        "  })\n"
        "\n"
        "  # Never empty.\n"
        "  validation {\n"
        '    condition = var.model.key != ""\n'
        "  }\n"
        "}\n"
    )
    file.write_text(text, encoding="utf-8")
    region, model = hcl.blocks(file)
    assert (region.address, region.attributes, region.line, region.end) == ("data.aws_region.current", {}, 1, 1)
    assert (model.address, model.line, model.end) == ("var.model", 3, 13)
    assert model.attributes == {"description": '"Say \\"which\\"."', "type": "object({ key = string })"}
    assert model.text("description") == 'Say "which".'
    (validation,) = model.inside("validation")
    assert validation.attributes == {"condition": 'var.model.key != ""'}
    assert validation.source == '  validation {\n    condition = var.model.key != ""\n  }\n'
