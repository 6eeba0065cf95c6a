"""The functions that this project deploys: each has a zip of its own."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Function:
    """One function and what its zip is made from.

    Attributes:
        name: as manifests and the modules' input `function` spell it.
        handler: for Lambda's Python runtime, `module.attribute`; the zip holds what this module imports.
        extra: of pyproject.toml, with the packages that those imports come from; None: Lambda's runtime has them all.
        modules: more modules that are entered by name.
        exec_wrapper: path in the zip of the program that starts in the runtime's place, behind the web adapter.
        native: whether llama.cpp's libraries belong to it.
    """

    name: str
    handler: str
    extra: str | None = None
    modules: tuple[str, ...] = ()
    exec_wrapper: str | None = None
    native: bool = False

    @property
    def entries(self) -> tuple[str, ...]:
        """Every module that is entered by name."""
        return (self.handler.rpartition(".")[0], *self.modules)


FUNCTIONS: Final = {
    function.name: function
    for function in (
        Function(
            "inference",
            "lambda_llm.inference.handler.handle",
            extra="inference",
            modules=("lambda_llm.inference.serve",),
            exec_wrapper="bin/serve",
            native=True,
        ),
        Function("pruner", "lambda_llm.pruner.handler.handle"),
    )
}
"""By name."""
