"""Jinja for templates out of a file: in its sandbox, and with an end to the time and the memory of each rendering.

The sandbox keeps a template from Python's internals, but not from an endless loop, or from a text of a gigabyte in one
expression. Here each loop, call, operator, filter and output has a price, paid from the rendering's `Account`.
"""

import re
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final

import jinja2
from jinja2 import filters, nodes, pass_context, pass_environment
from jinja2.ext import loopcontrols
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from lambda_llm.engine.cancellation import Cancellation, CancelledError
from lambda_llm.engine.errors import TemplateError

SECONDS: Final = 10.0
"""For one rendering; a conversation that fills a long context takes milliseconds."""
CHARACTERS: Final = 64 * 1024 * 1024
"""That one rendering may produce, its intermediate texts included: ten times the largest request."""
SOURCE_CHARACTERS: Final = 256 * 1024
"""The longest templates of known models have 30,000."""

_INTEGER_BITS: Final = 4096
_ELEMENT: Final = 16
"""An element of a list takes the memory of so many characters, or more."""
_INDENT_MAX: Final = 16
_LOOK_EVERY: Final = 64
"""Payments between two looks at the clock."""

_OF_JINJA: Final = frozenset({"_loop_vars", "_block_vars"})
"""Arguments that Jinja adds to calls."""
_PAY: Final = "(pay)"
_WEIGHED: Final = "(weighed)"
_JOINED: Final = "(joined)"
"""Filters that no template can name."""

_WIDTHS: Final = re.compile(r"\d+")
_FORBIDDEN_METHODS: Final = frozenset(
    {"center", "ljust", "rjust", "zfill", "expandtabs", "translate", "maketrans", "to_bytes", "from_bytes"}
)
_FORBIDDEN_FILTERS: Final = ("center", "wordwrap", "urlize", "striptags", "xmlattr", "pprint", "batch", "slice")
"""No chat template needs these, and each makes much of little."""
_TEXT_FILTERS: Final = (
    *("capitalize", "e", "escape", "forceescape", "lower", "safe", "title", "trim", "truncate", "upper", "urlencode"),
    "wordcount",
)
"""They take any value as its text."""


class ExhaustedError(TemplateError):
    """A template took too long, or made too much, whatever the messages."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The model's chat template {what} and was stopped: fix tokenizer.chat_template in the GGUF file, or use "
            "another model."
        )


class Account:
    """What is left to one rendering."""

    def __init__(self, cancellation: Cancellation | None) -> None:
        self._cancellation = cancellation
        self._left = CHARACTERS
        self._end = time.monotonic() + SECONDS
        self._payments = 0

    def pay(self, characters: int) -> None:
        """Pay for characters, before they are made where they may be many.

        Raises:
            ExhaustedError: there is too little left, or no time.
            CancelledError: the rendering was cancelled.
        """
        self._left -= characters
        if self._left < 0:
            raise ExhaustedError(f"makes more than {CHARACTERS // 1024 // 1024} million characters")
        self._payments += 1
        if self._payments % _LOOK_EVERY:
            return
        if time.monotonic() > self._end:
            raise ExhaustedError(f"takes longer than {SECONDS:g} seconds")
        if self._cancellation is not None and self._cancellation.cancelled:
            raise CancelledError


_account: ContextVar[Account] = ContextVar("account")


class BoundedTemplate:
    """A compiled template."""

    def __init__(self, source: str) -> None:
        """Compile it.

        Args:
            source: Jinja, with the extensions that Transformers has for chat templates.

        Raises:
            TemplateError: it is not valid Jinja, or too long or too deeply nested.
        """
        if len(source) > SOURCE_CHARACTERS:
            raise TemplateError(
                f"The model's chat template has {len(source):,} characters, more than {SOURCE_CHARACTERS:,}: fix the "
                "GGUF file."
            )
        try:
            self._template = _Environment().from_string(source)
        except RecursionError as error:
            raise TemplateError("The model's chat template is too deeply nested: fix the GGUF file.") from error
        except Exception as error:  # of the compiler, too: templates become Python
            raise TemplateError(
                f"The model's chat template is not valid Jinja ({error}): fix the GGUF file."
            ) from error

    def render(self, variables: Mapping[str, Any], cancellation: Cancellation | None = None) -> str:
        """Render the template.

        Args:
            variables: by name.
            cancellation: ends the rendering.

        Raises:
            ExhaustedError: it takes too long, or makes too much.
            TemplateError: it refuses the variables, or fails.
            CancelledError: `cancellation` was called.
        """
        token = _account.set(Account(cancellation))
        try:
            return self._template.render(variables)
        except (ExhaustedError, CancelledError):
            raise
        except RecursionError as error:
            raise TemplateError(
                "The model's chat template refuses these messages: it calls itself endlessly"
            ) from error
        except Exception as error:  # a template can fail in any way that Python can
            raise TemplateError(
                f"The model's chat template refuses these messages: {error or type(error).__name__}"
            ) from error
        finally:
            _account.reset(token)


def _pay(characters: int) -> str:
    _account.get().pay(characters)
    return ""


def _weigh(value: Any) -> None:
    """Pay for the text that a value is going to be: of all that a list or a dict holds."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        _pay(len(each) + 2 if isinstance(each, str) else 1)
        if isinstance(each, Mapping):
            waiting += [*each, *each.values()]
        elif isinstance(each, (list, tuple)):
            waiting += each


def _size(value: Any) -> int:
    """In characters, without what is in a list or a dict."""
    if isinstance(value, (str, bytes)):
        return len(value)
    return _ELEMENT * len(value) if isinstance(value, (list, tuple, dict)) else 1


def _weighed(value: Any) -> Any:
    """Pay for the size of a value itself, and return it."""
    _pay(_size(value))
    return value


def _text(value: Any) -> str:
    _weigh(value)
    return str(value)


@pass_context  # which also keeps the compiler from calling it
def _finished(_: Context, value: Any) -> Any:
    """What a template puts out."""
    return _text(value)


# -- what operators, methods and filters cost, where that is more than their results --------------------


def _price_of_product(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())
    for many, count in ((left, right), (right, left)):
        if isinstance(many, (str, bytes, list, tuple)) and isinstance(count, int):
            _pay(_size(many) * max(count, 0))


def _price_of_power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() * max(right, 0))


def _price_of_sum(left: Any, right: Any) -> None:
    if isinstance(left, (str, bytes, list, tuple)):
        _pay(_size(left) + _size(right))


def _price_of_format(pattern: Any, *values: Any, **named: Any) -> None:
    if isinstance(pattern, (str, bytes)):
        text = pattern if isinstance(pattern, str) else pattern.decode("latin-1")
        if "*" in text or re.search(r"\{[^{}]*\{", text):
            raise ExhaustedError("formats to a width that is computed")
        _pay(len(text) + sum(min(int(width[:12]), CHARACTERS + 1) for width in _WIDTHS.findall(text)))
        _weigh([values, named])


def _price_of_replacing(text: Any, old: Any, new: Any, count: Any = None) -> None:
    if isinstance(old, type(text)) and isinstance(new, type(text)):
        found = text.count(old)
        limited = found if not isinstance(count, int) or count < 0 else min(found, count)
        _pay(len(text) + limited * len(new))


def _price_of_joining(separator: Any, parts: Any = ()) -> None:
    if isinstance(parts, (str, list, tuple, dict)):
        _pay(len(separator) * len(parts) + sum(len(each) for each in parts if isinstance(each, str)))
    else:  # a generator can't be weighed before it has been used
        raise TypeError("join() takes a list")


def _check_bits(bits: int) -> None:
    if bits > _INTEGER_BITS:
        raise ExhaustedError("computes with huge numbers")
    _pay(1)


_OPERATOR_PRICES: Final[Mapping[str, Callable[[Any, Any], None]]] = {
    "+": _price_of_sum,
    "*": _price_of_product,
    "**": _price_of_power,
    "%": _price_of_format,
}
_METHOD_PRICES: Final[Mapping[str, Callable[..., None]]] = {
    "format": _price_of_format,
    "format_map": _price_of_format,
    "replace": _price_of_replacing,
    "join": _price_of_joining,
}


def _replaced(text: Any, old: Any, new: Any, count: int | None = None) -> str:
    """Filter `replace`."""
    text, old, new = _text(text), _text(old), _text(new)
    _price_of_replacing(text, old, new, count)
    return str(text.replace(old, new, -1 if count is None else count))


@pass_environment
def _joined(environment: jinja2.Environment, parts: Any, separator: str = "", attribute: str | None = None) -> str:
    """Filter `join`."""
    get = filters.make_attrgetter(environment, attribute) if attribute is not None else None
    texts = []
    for part in parts:
        texts.append(_text(get(part) if get else part))
        _pay(len(separator))
    return separator.join(texts)


def _formatted(pattern: Any, *values: Any, **named: Any) -> str:
    """Filter `format`."""
    _price_of_format(pattern, *values, **named)
    return str(filters.do_format(pattern, *values, **named))


def _indented(text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:  # noqa: FBT001, FBT002 - Jinja's
    """Filter `indent`."""
    text = _text(text)
    _pay((text.count("\n") + 1) * (width if isinstance(width, int) else len(width)))
    return filters.do_indent(text, width, first, blank)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **others: Any) -> str:  # noqa: FBT001, FBT002 - Transformers' order
    """Filter `tojson`, as Transformers has it."""
    if indent is not None and indent > _INDENT_MAX:
        raise ExhaustedError(f"indents JSON by more than {_INDENT_MAX}")
    _weigh(value)
    return str(Jinja2ChatFormatter.tojson(value, ensure_ascii, indent, **others))


def _of_text(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that pays for the text of its values before it makes it."""

    @wraps(function)
    def paying(*args: Any, **named: Any) -> Any:
        for each in args:
            _weigh(each)
        return function(*args, **named)

    return paying


def _sum(function: Callable[..., Any]) -> Callable[..., Any]:
    """Filter `sum`, of numbers: lists would be copied for each of them."""

    @wraps(function)
    def adding(environment: Any, values: Any, attribute: Any = None, start: Any = 0) -> Any:
        if not isinstance(start, (int, float)):
            raise TypeError("sum adds numbers only")
        return function(environment, values, attribute, start)

    return adding


def _priced(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that pays for the size of its result."""

    @wraps(function)
    def paying(*args: Any, **named: Any) -> Any:
        return _weighed(function(*args, **named))

    return paying


# -- the environment --------------------------------------------------------------------------------


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(_OPERATOR_PRICES)

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            finalize=_finished,
            extensions=[Jinja2ChatFormatter.IgnoreGenerationTags, loopcontrols],
        )
        del self.globals["lipsum"]
        for name in _FORBIDDEN_FILTERS:
            del self.filters[name]
        self.filters |= {
            "replace": _replaced,
            "join": _joined,
            "format": _formatted,
            "indent": _indented,
            "tojson": _to_json,
            "string": _text,
        }
        self.filters |= {name: _of_text(self.filters[name]) for name in _TEXT_FILTERS}
        self.filters["sum"] = _sum(self.filters["sum"])
        self.filters = {name: _priced(each) for name, each in self.filters.items()}
        self.filters |= {_PAY: _pay, _WEIGHED: _weighed, _JOINED: _joined}

    def _generate(self, source: nodes.Template, *args: Any, **options: Any) -> str:
        return super()._generate(_Priced(self).visit(source), *args, **options)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr not in _FORBIDDEN_METHODS and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _OPERATOR_PRICES[operator](left, right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, obj: Any, /, *args: Any, **named: Any) -> Any:
        method = getattr(obj, "__wrapped__", obj)  # of `format`, which the sandbox wraps
        owner = getattr(method, "__self__", None)
        if isinstance(owner, (str, bytes)) and method.__name__ in _METHOD_PRICES:
            given = {name: value for name, value in named.items() if name not in _OF_JINJA}
            _METHOD_PRICES[method.__name__](owner, *args, **given)
        return _weighed(super().call(context, obj, *args, **named))


class _Priced(NodeTransformer):
    """Adds prices to a parsed template, where the environment has no say: output, loops, macros, `~` and slices."""

    def __init__(self, environment: jinja2.Environment) -> None:
        self._environment = environment

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802 - Jinja's name
        self.generic_visit(node)
        written = sum(len(each.data) for each in node.nodes if isinstance(each, nodes.TemplateData))
        node.nodes.insert(0, self._filtered(nodes.Const(written + 1), _PAY, node.lineno))
        return node

    def visit_For(self, node: nodes.For | nodes.Macro | nodes.CallBlock) -> nodes.Node:  # noqa: N802 - Jinja's name
        node.body.insert(0, nodes.Output([], lineno=node.lineno, environment=self._environment))
        return self.generic_visit(node)

    visit_Macro = visit_CallBlock = visit_For  # noqa: N815 - Jinja's names

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - Jinja's name
        self.generic_visit(node)
        return self._filtered(nodes.List(node.nodes, environment=self._environment), _JOINED, node.lineno)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802 - Jinja's name
        self.generic_visit(node)
        return self._filtered(node, _WEIGHED, node.lineno) if isinstance(node.arg, nodes.Slice) else node

    def _filtered(self, node: nodes.Expr, name: str, line: int) -> nodes.Filter:
        return nodes.Filter(node, name, [], [], None, None, lineno=line, environment=self._environment)
