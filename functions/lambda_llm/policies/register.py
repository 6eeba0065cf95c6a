"""Registers every rule with checkov as a check; the only module that imports checkov."""

from collections.abc import Iterator
from typing import Any

from checkov.common.bridgecrew.severities import Severities
from checkov.common.models.enums import CheckCategories, CheckResult
from checkov.terraform.checks.resource.base_resource_check import BaseResourceCheck

from lambda_llm.policies.every import RULES
from lambda_llm.policies.graph import Edge, Graph, Vertex, stack_of
from lambda_llm.policies.rules import Rule

__all__ = ["CHECKS", "Check"]

RESULTS = {True: CheckResult.PASSED, False: CheckResult.FAILED, None: CheckResult.UNKNOWN}


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
        self._judge = rule.judge

    def scan_resource_conf(self, conf: dict[str, list[Any]]) -> CheckResult:
        """Evaluate the rule for one resource.

        Args:
            conf: Its arguments: for HCL the same object as in the graph, for a plan a copy.
        """
        if Check._made_of is not self.graph:
            Check._graph, Check._numbers = read(self.graph)
            Check._made_of = self.graph
        number = Check._numbers.get(id(conf))
        if number is None:
            file = self.entity_path.rsplit(":", 2)[0]  # relative to the scanned folder
            of_address = Check._numbers[str(conf["__address__"])]
            number = next(number for whole, number in of_address.items() if whole.endswith(file))
        return RESULTS[self._judge(Check._graph.resource(number))]


def read(graph: Any) -> tuple[Graph, dict[Any, Any]]:
    """Convert checkov's graph.

    Args:
        graph: Of rustworkx, or of networkx if CHECKOV_GRAPH_FRAMEWORK selects it.

    Returns:
        The graph, and each block's number by the identity of its arguments and, in a plan, by address and file.
    """
    numbers: dict[Any, Any] = {}
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
        planned = file.endswith(".json") and not file.endswith(".tf.json")
        numbers[id(block)] = number
        if planned:
            numbers.setdefault(address, {})[file] = number
        vertices.append(
            Vertex(
                kind,
                name,
                address=address,
                stack=file if planned else stack_of(file, attributes.get("source_module_object_")),
                planned=planned,
                block=block,
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


CHECKS = list(registered())
