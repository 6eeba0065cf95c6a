"""Resources and their references: checkov's graph of HCL or of a plan, seen from one resource."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lambda_llm.policies.plan import Plan, module_of
from lambda_llm.policies.values import argument, is_known, strings

__all__ = ["Edge", "Graph", "Resource", "Vertex"]

FUNCTION: Final = "aws_lambda_function"
ALIAS: Final = "aws_lambda_alias"
REFERENCE: Final = re.compile(r"^(?:data\.)?(aws_\w+\.[\w-]+)")
"""What a plan contains instead of a value that is known after apply: the first reference of its expression."""

MODULE_REFERENCE: Final = re.compile(r'^module\.[\w-]+(?:\[(?:\d+|"[^"]*")\])?')
"""The same for a value that is an output of a module."""

INVOKED: Final = re.compile(r"functions/arn:[^/]*:function:([\w-]+)")
"""The part of an API Gateway integration's URI that names the function."""

ARN_PARTS: Final = 6
"""Index of a function's name among the parts of its ARN, which are separated by colons."""


@dataclass(frozen=True)
class Vertex:
    """A block.

    Attributes:
        kind: `resource`, `data`, `module`, `variable`, `output`, `locals` or `provider`.
        name: Type and name of a resource; for other kinds the name.
        address: As Terraform prints it, with its module path.
        stack: Identifies what is applied together: the root module's folder, or the plan's file.
        block: Its arguments, in checkov's representation.
        plan: The plan that it is in, None for HCL.
    """

    kind: str
    name: str
    address: str
    stack: str
    block: Mapping[str, Any]
    plan: Plan | None = None

    @property
    def module(self) -> str:
        """Address of the resource's module, "" for the root."""
        return module_of(self.address)

    @property
    def key(self) -> str:
        """Instance key of a resource with count or for_each, "" for one without."""
        return self.address[self.address.rindex(self.name) + len(self.name) :]


@dataclass(frozen=True)
class Edge:
    """A reference from a block's argument to another block; blocks are identified by their index."""

    source: int
    target: int
    argument: str


class Graph:
    """All blocks of one run of checkov.

    Args:
        vertices: The blocks; edges identify them by their index.
        edges: The references.
    """

    def __init__(self, vertices: Iterable[Vertex], edges: Iterable[Edge]) -> None:
        self._vertices = list(vertices)
        self._edges: defaultdict[int, list[Edge]] = defaultdict(list)
        for edge in edges:
            self._edges[edge.source].append(edge)

    def resource(self, number: int) -> "Resource":
        """The block with an index."""
        return Resource(self, number, self._vertices[number])

    def resources(self, kind: str, stack: str) -> "Iterator[Resource]":
        """Resources of a type in one stack."""
        for number, vertex in enumerate(self._vertices):
            if vertex.stack == stack and vertex.kind == "resource" and vertex.name.startswith(f"{kind}."):
                yield Resource(self, number, vertex)

    def referred(self, number: int, name: str) -> "Iterator[Resource]":
        """Resources and data sources that an argument in HCL refers to, also through outputs, variables and locals.

        Args:
            number: Index of the block whose argument it is.
            name: The argument.
        """
        waiting = [(number, name)]
        seen = set(waiting)
        while waiting:
            source, wanted = waiting.pop()
            for edge in self._edges[source]:
                if wanted and edge.argument != wanted and not edge.argument.startswith(f"{wanted}."):
                    continue
                vertex = self._vertices[edge.target]
                if vertex.kind in {"resource", "data"}:
                    yield Resource(self, edge.target, vertex)
                    continue
                # A variable refers to the module call; only the argument with the variable's name matters.
                passed = self._vertices[source].name if vertex.kind == "module" else ""
                if (edge.target, passed) not in seen:
                    seen.add((edge.target, passed))
                    waiting.append((edge.target, passed))

    def planned(self, start: Vertex, argument: str, given: Iterable[str]) -> "Iterator[Resource]":
        """Resources and data sources that an argument in a plan refers to.

        checkov's own edges can't be used: it matches by name only, in any module.

        Args:
            start: The block whose argument it is.
            argument: Its name.
            given: What checkov has in place of a value that is not known yet, see `REFERENCE`.
        """
        targets = list(start.plan.targets(start.address, argument)) if start.plan else []
        for reference in given:
            if match := REFERENCE.match(reference):
                targets.append((start.module, match[1]))
            elif not targets and (called := MODULE_REFERENCE.match(reference)):
                # A plan has no locals: an output made of one could be any resource of the module.
                yield from self._only_ones(start.stack, ".".join(filter(None, [start.module, called[0]])))
        for module, name in dict.fromkeys(targets):
            matches = [
                Resource(self, number, vertex)
                for number, vertex in enumerate(self._vertices)
                if (vertex.stack, vertex.module, vertex.name) == (start.stack, module, name.removeprefix("data."))
            ]
            yield from [one for one in matches if one.vertex.key == start.key] or matches

    def _only_ones(self, stack: str, module: str) -> "Iterator[Resource]":
        """Resources and data sources of a module, and of those that it calls, that are the only ones of their type."""
        found: defaultdict[tuple[str, str], list[Resource]] = defaultdict(list)
        for number, vertex in enumerate(self._vertices):
            if vertex.stack == stack and f"{vertex.module}.".startswith(f"{module}."):
                resource = Resource(self, number, vertex)
                found[vertex.kind, resource.kind].append(resource)
        yield from (only for only, *more in found.values() if not more)

    def reaches(self, start: int, goal: int) -> bool:
        """Whether a chain of references leads from one block to another."""
        waiting, seen = [start], {start}
        while waiting:
            for edge in self._edges[waiting.pop()]:
                if edge.target == goal:
                    return True
                if edge.target not in seen:
                    seen.add(edge.target)
                    waiting.append(edge.target)
        return False


@dataclass(frozen=True, eq=False)
class Resource:
    """One resource or data source.

    Attributes:
        graph: The graph that it is part of.
        number: Its index in the graph.
        vertex: The block.
    """

    graph: Graph
    number: int
    vertex: Vertex

    @property
    def kind(self) -> str:
        """Its type, such as `aws_lambda_function`."""
        return self.vertex.name.partition(".")[0]

    @property
    def block(self) -> Mapping[str, Any]:
        """Its arguments, in checkov's representation."""
        return self.vertex.block

    def get(self, name: str) -> Any:
        """Value of an argument, None if it is not set."""
        return argument(self.block, name)

    def is_resource(self, other: "Resource") -> bool:
        """Whether both are the same block."""
        return self.number == other.number

    def referred(self, name: str) -> "Iterator[Resource]":
        """What an argument refers to, as far as it can be resolved; in a plan, only if its value is not known yet."""
        if self.vertex.plan:
            return self.graph.planned(self.vertex, name, strings(self.get(name)))
        return self.graph.referred(self.number, name)

    def siblings(self, *kinds: str) -> "Iterator[Resource]":
        """Resources of some types in the same stack."""
        for kind in kinds:
            yield from self.graph.resources(kind, self.vertex.stack)

    def function(self, name: str = "function_name") -> "Resource | None":
        """The function that an argument of a URL, an integration or the like names, None if it can't be resolved."""
        for resource in self.referred(name):
            if resource.kind == FUNCTION:
                return resource
            if resource.kind == ALIAS:
                return resource.function()
        return self._named(FUNCTION, "function_name", function_name(self.get(name)))

    def role(self, name: str = "role") -> "Resource | None":
        """The IAM role that an argument names, by reference, name or ARN; None if it can't be resolved."""
        return next(iter(self.roles(name)), None)

    def roles(self, name: str) -> "list[Resource]":
        """The same for an argument that names several."""
        found = [resource for resource in self.referred(name) if resource.kind == "aws_iam_role"]
        for given in strings(self.get(name)):
            role = self._named("aws_iam_role", "name", given.rpartition("/")[2]) if is_known(given) else None
            if role is not None:
                found.append(role)
        return found

    def _named(self, kind: str, argument: str, name: str | None) -> "Resource | None":
        """The resource with a name in the same stack; the same module takes precedence (two regions, same names)."""
        found = [one for one in self.siblings(kind) if name is not None and one.get(argument) == name]
        found.sort(key=lambda one: one.vertex.module != self.vertex.module)
        return found[0] if found else None


def function_name(value: Any) -> str | None:
    """Name of a function from its name or ARN, or from an ARN that invokes it; None if it is not known."""
    if not isinstance(value, str) or not is_known(value):
        return None
    if match := INVOKED.search(value):
        return match[1]
    parts = value.split(":")
    return parts[ARN_PARTS] if len(parts) > ARN_PARTS and parts[0] == "arn" else parts[0]


def stack_of(file: str, module: Any) -> str:
    """Folder of the root module that a block of HCL belongs to.

    Args:
        file: The block's file.
        module: checkov's object for the module call that contains the block, linked to its parent; None in a root.
    """
    while module is not None:
        file, module = module.path, module.nested_tf_module
    return str(Path(file).parent)
