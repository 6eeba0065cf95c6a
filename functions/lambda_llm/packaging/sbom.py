"""The SBOM of a package, in CycloneDX."""

import json
import uuid
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from cyclonedx.model import AttachedText
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType, Diff, Patch, PatchClassification, Pedigree
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL


def sbom(folder: Path, version: str, native: Mapping[str, str], edits: Mapping[str, str]) -> str:
    """Describe a staged package; the same folder always gives the same text.

    Args:
        folder: with the packages' `.dist-info` folders.
        version: of lambda-llm.
        native: versions of the compiled parts, by name.
        edits: changes of their source as unified diffs, by name.
    """
    bom = Bom()
    root = Component(name="lambda-llm", version=version, type=ComponentType.APPLICATION, bom_ref="lambda-llm")
    bom.metadata.component = root
    for distribution in distributions(path=[str(folder)]):
        name = distribution.metadata["Name"].lower().replace("_", "-")
        bom.components.add(_component(name, distribution.version, PackageURL("pypi", None, name, distribution.version)))
    for name, native_version in native.items():
        component = _component(name, native_version, PackageURL("generic", None, name, native_version))
        patches = [
            Patch(type=PatchClassification.UNOFFICIAL, diff=Diff(text=AttachedText(content=diff)))
            for diff in edits.values()
        ]
        component.pedigree = Pedigree(patches=patches) if patches else None
        bom.components.add(component)
    bom.register_dependency(root, bom.components)
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    # A random number and the time would make builds differ.
    document["metadata"].pop("timestamp", None)
    document.pop("serialNumber", None)
    text = json.dumps(document, sort_keys=True)
    document["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_OID, text).urn
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _component(name: str, version: str, url: PackageURL) -> Component:
    return Component(name=name, version=version, type=ComponentType.LIBRARY, purl=url, bom_ref=str(url))
