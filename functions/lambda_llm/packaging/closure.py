"""What a set of modules imports: modules of this package, and third-party packages."""

import ast
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lambda_llm
from lambda_llm.packaging.errors import PackageError

PACKAGE = Path(lambda_llm.__file__).parent
"""The folder of this package."""


def closure(entries: Iterable[str], package: Path = PACKAGE) -> dict[str, Path]:
    """The modules that some modules import, directly or not, including themselves and their parent packages.

    Imports inside functions count; those under `TYPE_CHECKING` don't.

    Args:
        entries: dotted names below `lambda_llm`.
        package: the folder of `lambda_llm`.

    Returns:
        Files by dotted name, sorted.

    Raises:
        PackageError: there is no such module.
    """
    found: dict[str, Path] = {}
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = path = _file(name, package)
        waiting += [".".join(name.split(".")[:length]) for length in range(1, name.count(".") + 1)]
        waiting += [each for each in imports(path) if each.partition(".")[0] == package.name and exists(each, package)]
    return dict(sorted(found.items()))


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports; `from a import b` gives `a` and `a.b`, as either may be a module.

    Args:
        path: of a Python file that has absolute imports only.
    """
    for node in _walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def named(path: Path) -> Iterator[str]:
    """Dotted names of the modules that a file says it imports, or imports something of; with dots before relative ones.

    Args:
        path: of a Python file.
    """
    for node in _walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def exists(name: str, package: Path = PACKAGE) -> bool:
    """Whether there is a module.

    Args:
        name: dotted, below `lambda_llm`.
        package: the folder of `lambda_llm`.
    """
    return any(path.is_file() for path in _candidates(name, package))


def third_party(modules: Iterable[Path]) -> set[str]:
    """Top-level names that files import, without the standard library and this package."""
    names = {name.partition(".")[0] for path in modules for name in imports(path)}
    return names - set(sys.stdlib_module_names) - {PACKAGE.name}


def distributions_of(names: Iterable[str]) -> set[str]:
    """The distributions that top-level names come from, as installed here.

    Returns:
        Canonical names.

    Raises:
        PackageError: no installed distribution provides a name.
    """
    known = packages_distributions()
    found: set[str] = set()
    for name in names:
        if name not in known:
            raise PackageError(f"No installed package provides the module {name!r}: `make test` installs all.")
        found |= {canonicalize_name(each) for each in known[name]}
    return found


def top_level(distributions: Iterable[str]) -> set[str]:
    """Top-level names that distributions provide, as installed here.

    Args:
        distributions: canonical names.
    """
    wanted = set(distributions)
    return {name for name, by in packages_distributions().items() if wanted & {canonicalize_name(one) for one in by}}


def with_requirements(distributions: Iterable[str], environment: dict[str, str]) -> set[str]:
    """Distributions with all their requirements, and those of the extras that a requirement names.

    Args:
        distributions: canonical names, installed here.
        environment: environment markers of the target, where they differ from this machine's.
    """
    found: set[tuple[str, str]] = set()
    waiting = [(name, "") for name in distributions]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for text in requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra, **environment}):
                waiting += [(canonicalize_name(requirement.name), one) for one in ("", *requirement.extras)]
    return {name for name, _ in found}


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Every node, except those under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from _walk(other)
            continue
        yield child
        yield from _walk(child)


def _candidates(name: str, package: Path) -> tuple[Path, Path]:
    path = package.parent.joinpath(*name.split("."))
    return path.with_suffix(".py"), path / "__init__.py"


def _file(name: str, package: Path) -> Path:
    for path in _candidates(name, package):
        if path.is_file():
            return path
    raise PackageError(f"There is no module {name}: correct the table in lambda_llm.packaging.functions.")
