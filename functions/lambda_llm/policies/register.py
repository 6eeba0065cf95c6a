"""Registers every rule with checkov as a check; the only module that imports checkov."""

import logging
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from checkov.common.bridgecrew.severities import Severities
from checkov.common.models.enums import CheckCategories, CheckResult
from checkov.terraform.checks.module.base_module_check import BaseModuleCheck
from checkov.terraform.checks.resource.base_resource_check import BaseResourceCheck

from lambda_llm.policies.every import RULES
from lambda_llm.policies.graph import Edge, Graph, Vertex, stack_of
from lambda_llm.policies.plan import UNKNOWN_YET, Plan
from lambda_llm.policies.rules import Rule, Verdict
from lambda_llm.policies.values import strings

__all__ = ["CHECKS", "Check"]

RESULTS: Final = {Verdict.PASSED: CheckResult.PASSED, Verdict.FAILED: CheckResult.FAILED}

UNJUDGED: Final = "CKV_LLM_UNJUDGED"
"""Variable with the path of a file to which a line is appended for each check that could not be judged: checkov has no
such outcome, and runs frameworks in processes of their own."""

logger = logging.getLogger(__name__)


class Check(BaseResourceCheck):
    """A rule as a checkov check of the resource types that it applies to.

    It sets no `details`: checkov writes them into SARIF in a form that GitHub rejects.

    Args:
        rule: The rule.
    """

    _made_of: Any = None
    _graph: Graph
    _numbers: dict[Any, Any]

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule.sentence, rule.id, [CheckCategories.GENERAL_SECURITY], rule.resources, rule.page)
        self.severity = Severities[rule.severity]
        self._rule = rule

    def scan_resource_conf(self, conf: dict[str, list[Any]]) -> CheckResult:
        """Evaluate the rule for one resource.

        Args:
            conf: Its arguments: for HCL the same object as in the graph, for a plan a copy.
        """
        if self.graph is None:
            without_graph(self.entity_path.partition(":")[0])
            return CheckResult.UNKNOWN
        if Check._made_of is not self.graph:
            Check._graph, Check._numbers = read(self.graph)
            Check._made_of = self.graph
        number = Check._numbers.get(id(conf))
        if number is None:
            file = self.entity_path.rsplit(":", 2)[0]  # relative to the scanned folder
            of_address = Check._numbers[str(conf["__address__"])]
            number = next(number for whole, number in of_address.items() if whole.endswith(file))
        resource = Check._graph.resource(number)
        verdict = self._rule.verdict(resource)
        if verdict is Verdict.UNKNOWN:
            note(f"{self.id} of {resource.vertex.address}")
        return RESULTS.get(verdict, CheckResult.UNKNOWN)


@cache
def without_graph(file: str) -> None:
    """Say once of a file that checkov has no graph of it, as of Terraform in JSON."""
    logger.error("%s is Terraform in JSON, of which checkov makes no graph, so it is not judged: check its plan.", file)


class Modules(BaseModuleCheck):
    """Notes each call of a module that checkov has not loaded: nothing in it is judged. It has no findings."""

    def __init__(self) -> None:
        super().__init__("Modules that could not be read", "CKV_LLM_MODULES", [CheckCategories.GENERAL_SECURITY])

    def scan_module_conf(self, conf: dict[str, Any]) -> CheckResult:
        """Note one call."""
        source = "".join(strings(conf.get("source")))
        if source and not conf.get("__resolved__"):
            note(f"module {source}")
        return CheckResult.UNKNOWN


def note(what: str) -> None:
    """Report what could not be judged to whoever started checkov."""
    if file := os.environ.get(UNJUDGED):
        with Path(file).open("a", encoding="utf-8") as opened:
            opened.write(f"{what}\n")


def read(graph: Any) -> tuple[Graph, dict[Any, Any]]:
    """Convert checkov's graph.

    Args:
        graph: Of rustworkx, or of networkx if CHECKOV_GRAPH_FRAMEWORK selects it.

    Returns:
        The graph, and each block's number by the identity of its arguments and, in a plan, by address and file.
    """
    numbers: dict[Any, Any] = {}
    plans: dict[str, Plan] = {}
    vertices = []
    if hasattr(graph, "weighted_edge_list"):
        found, references = graph.nodes(), graph.weighted_edge_list()
        places: Any = range(len(found))
    else:
        found, references = graph.nodes(data=True), graph.edges(data=True)
        places = {key: number for number, (key, _) in enumerate(found)}
    for number, (_, attributes) in enumerate(found):
        kind, name = attributes["block_type_"], attributes["block_name_"]
        block = arguments(attributes["config_"], name) if kind in {"resource", "data"} else {}
        file, address = attributes["file_path_"], attributes.get("__address__") or name
        plan = None
        numbers[id(block)] = number
        if file.endswith(".json"):
            plan = plans[file] if file in plans else plans.setdefault(file, Plan.read(Path(file)))
            numbers.setdefault(address, {})[file] = number
            late = {name: [UNKNOWN_YET] for name in plan.unknown(address) if block.get(name) in (None, [None], [])}
            block = {**block, **late}
        vertices.append(
            Vertex(
                kind,
                name,
                address=address,
                stack=file if plan else stack_of(file, attributes.get("source_module_object_")),
                block=block,
                plan=plan,
            )
        )
    edges = (Edge(places[source], places[target], str(label["label"])) for source, target, label in references)
    return Graph(vertices, edges), numbers


def arguments(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Arguments of a resource or data source, which are nested below its type and its name."""
    kind, _, own = name.partition(".")
    block: dict[str, Any] = config[kind][own]
    return block


def registered() -> Iterator[Check]:
    """Create the checks; checkov registers each on creation."""
    for rule in RULES:
        yield Check(rule)


CHECKS = [*registered(), Modules()]
