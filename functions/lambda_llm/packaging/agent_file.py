"""A file with somebody's agent, which goes to the top of the agent's zip."""

import keyword
import sys
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from lambda_llm.packaging.closure import PACKAGE, closure, exists, named, third_party
from lambda_llm.packaging.errors import PackageError

SDK_DATA: Final = Path(str(distribution("botocore").locate_file("botocore/data")))
"""Of the SDK that is installed here, which is of the version that the zip gets."""


@dataclass(frozen=True)
class AgentFile:
    """A file with an agent, and what it needs beside the zip's own.

    Attributes:
        path: of the Python file.
        from_layers: top-level modules that layers of the function provide.
        aws_services: further services that its tools call, as boto3 names them.
    """

    path: Path
    from_layers: frozenset[str] = frozenset()
    aws_services: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """Name under which Lambda imports it."""
        return self.path.stem

    def modules(self, provided: set[str]) -> dict[str, Path]:
        """The modules of this package that it imports, directly or not.

        Args:
            provided: top-level modules of other packages in the zip.

        Raises:
            PackageError: it could not be imported from the zip, or it names a service that there is not.
        """
        if self.path.suffix != ".py" or not self.path.is_file():
            raise PackageError(f"{self.path} is no Python file: --agent takes the file that has the Agent, as FILE.py.")
        if not self.module.isidentifier() or keyword.iskeyword(self.module):
            raise PackageError(f"{self.path.name} can't be imported by this name: use letters, digits and underscores.")
        if self.module in {*sys.stdlib_module_names, PACKAGE.name, *provided, *self.from_layers}:
            raise PackageError(
                f"{self.path.name} would hide the module {self.module}, which the function needs: rename it."
            )
        try:
            imported = sorted(set(named(self.path)))
        except (SyntaxError, ValueError) as error:
            raise PackageError(f"{self.path} is no Python that could be imported: {error}.") from None
        own = [name for name in imported if name.partition(".")[0] == PACKAGE.name]
        if missing := [name for name in imported if name.startswith(".") or (name in own and not exists(name))]:
            raise PackageError(
                f"{self.path.name} imports {', '.join(missing)}, which does not exist beside it in the zip: write the "
                "agent in one file."
            )
        modules = closure(own)
        if missing := sorted(third_party([self.path, *modules.values()]) - provided - self.from_layers):
            raise PackageError(
                f"{self.path.name} imports {', '.join(missing)}, which the agent's zip lacks: do without, or bring it "
                "in a layer and say so with --from-layer MODULE."
            )
        unknown = [name for name in self.aws_services if not (SDK_DATA / name).is_dir()]
        if unknown:
            raise PackageError(f"AWS's SDK has no service {', '.join(unknown)}: name it as boto3.client does.")
        return modules
