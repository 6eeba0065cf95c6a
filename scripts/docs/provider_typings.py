"""Write the newest AWS provider's schema of what the Terraform modules use to tests/terraform/aws_provider.json.

It needs no provider of 6.x: an npm package contains typings generated from its schema. Run it after a module starts to
use another resource or data source; it needs npm and a minute of network access.

    python -m scripts.docs.provider_typings
"""

import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from scripts import ROOT
from scripts.docs import hcl

TYPINGS: Final = "@cdktn/provider-aws@25.7.0"
WRITTEN: Final = ROOT / "tests/terraform/aws_provider.json"

INTERFACE: Final = re.compile(r"^export interface (\w+) .*?\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD: Final = re.compile(r"#(\w+) \w+#\w+\}.*?readonly \w+(\??): (.*?)(\[\])?(?: \| cdktn\.IResolvable)?;", re.DOTALL)
COMPUTED: Final = re.compile(r"^    get (\w+?)(?<!Input)\(\)", re.MULTILINE)
MAP: Final = re.compile(r"\{\s*\[key: string\]: (\w+)", re.DOTALL)
NEWER: Final = re.compile(r"^```terraform\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROVIDER: Final = re.compile(r"providers/hashicorp/aws/([\d.]+)/")

Schema = dict[str, Any]
"""What each attribute and block is, by its name: `type`, with the schema of a block's contents in `fields`; `list` if
there may be several; `required` if it must be set; `computed` if it can only be read."""


def documented() -> list[hcl.Block]:
    """Return the blocks of the modules' READMEs for newer providers than the oldest that they allow."""
    texts = [
        text for file in sorted(ROOT.glob("modules/*/README.md")) for text in NEWER.findall(file.read_text("utf-8"))
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "documented.tf"
        file.write_text("\n".join(texts), encoding="utf-8")
        return hcl.blocks(file)


def used() -> list[str]:
    """Return kind and type of all resources and data sources of the modules, such as `resource aws_lambda_alias`."""
    folders = [ROOT, *(path.parent for path in (ROOT / "modules").glob("*/versions.tf"))]
    blocks = [*documented(), *(block for folder in folders for block in hcl.module(folder))]
    blocks += [inner for block in blocks if block.kind == "check" for inner in block.blocks]
    return sorted({f"{block.kind} {block.labels[0]}" for block in blocks if block.kind in {"resource", "data"}})


def canonical(name: str) -> str:
    """Return a name without underscores and case: no rule maps `checksum_crc64nvme` to `checksumCrc64Nvme`."""
    return name.replace("_", "").lower()


def schema(typings: str) -> Schema:
    """Return the schema of one type.

    Args:
        typings: text of its index.d.ts; the interface of its configuration comes first.
    """
    interfaces = dict(INTERFACE.findall(typings))

    def field(optional: str, kind: str, several: str) -> Schema:
        known: Schema = {} if optional else {"required": True}
        if several:
            known["list"] = True
        if kind in interfaces:
            return {"type": "block", **known, "fields": fields(kind)}
        return {"type": "map" if MAP.match(kind) else kind, **known}

    def fields(name: str) -> Schema:
        return {
            canonical(key): field(optional, kind, several)
            for key, optional, kind, several in FIELD.findall(interfaces[name])
        }

    # The last class is the type itself; its getters include what the provider computes.
    computed = COMPUTED.findall(typings[typings.rindex("export declare class") :])
    return {canonical(name): {"computed": True} for name in computed} | fields(next(iter(interfaces)))


def folders_of(archive: tarfile.TarFile) -> Iterator[tuple[str, str]]:
    """Yield each type that the modules use, with the text of its typings."""
    for name in used():
        kind, _, type_name = name.partition(" ")
        folder = ("data-aws-" if kind == "data" else "") + type_name.removeprefix("aws_").replace("_", "-")
        file = archive.extractfile(f"package/lib/{folder}/index.d.ts")
        if file is None:
            raise SystemExit(f"{TYPINGS} has no {folder}.")
        yield name, file.read().decode()


def main() -> int:
    """Download the typings and write the relevant part."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", TYPINGS], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (package,) = Path(folder).iterdir()
        with tarfile.open(package) as archive:
            texts = dict(folders_of(archive))
    versions = {version for text in texts.values() for version in PROVIDER.findall(text)}
    if len(versions) != 1:
        raise SystemExit(f"{TYPINGS} refers to several versions of the provider: {', '.join(sorted(versions))}.")
    known = {"provider": versions.pop(), "types": {name: schema(text) for name, text in texts.items()}}
    WRITTEN.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{len(texts)} types of hashicorp/aws {known['provider']} in {WRITTEN.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
