"""What modules import, found without importing them."""

from pathlib import Path

import pytest

from lambda_llm.packaging.closure import closure, distributions_of, imports, third_party, with_requirements
from lambda_llm.packaging.errors import PackageError
from lambda_llm.packaging.functions import FUNCTIONS, Function

SOURCE = """
import os, a.b
from typing import TYPE_CHECKING
from c import d
if TYPE_CHECKING:
    from never import this
else:
    import otherwise

def later():
    import e
"""


def test_every_import_counts_but_those_for_type_checkers(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(SOURCE)
    assert set(imports(file)) == {"os", "a.b", "typing", "typing.TYPE_CHECKING", "c", "c.d", "otherwise", "e"}
    assert third_party([file]) == {"a", "c", "otherwise", "e"}


def test_a_closure_has_what_is_imported_at_any_distance_and_the_packages_around_it(tmp_path: Path) -> None:
    package = tmp_path / "lambda_llm"
    files = {
        "__init__.py": "",
        "one.py": "from lambda_llm.folder import two",
        "folder/__init__.py": "",
        "folder/two.py": "from lambda_llm.three import NAME",
        "three.py": "NAME = 1",
        "unused.py": "",
    }
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    found = closure(["lambda_llm.one"], package)
    assert list(found) == [
        "lambda_llm",
        "lambda_llm.folder",
        "lambda_llm.folder.two",
        "lambda_llm.one",
        "lambda_llm.three",
    ]
    assert found["lambda_llm.folder"] == package / "folder/__init__.py"


def test_a_module_that_does_not_exist_is_refused() -> None:
    with pytest.raises(PackageError, match=r"There is no module lambda_llm\.nothing: correct the table"):
        closure(["lambda_llm.nothing"])


def test_distributions_are_found_with_all_that_they_require() -> None:
    assert distributions_of({"jinja2", "awscrt"}) == {"jinja2", "awscrt"}
    assert with_requirements({"jinja2"}, {}) == {"jinja2", "markupsafe"}
    assert "exceptiongroup" not in with_requirements({"anyio"}, {"python_version": "3.13"})
    assert "cryptography" in with_requirements({"mcp"}, {}), "it requires pyjwt[crypto]"
    with pytest.raises(PackageError, match="No installed package provides the module 'nowhere'"):
        distributions_of({"nowhere"})


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_handler_is_a_function_of_its_module(function: Function) -> None:
    module, _, name = function.handler.rpartition(".")
    source = closure([module])[module].read_text(encoding="utf-8")
    assert f"def {name}(" in source or f"\n{name} = " in source
