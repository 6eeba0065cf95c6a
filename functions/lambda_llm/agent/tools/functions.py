"""Tools that are Python functions."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from lambda_llm.agent.errors import AgentDefinitionError, AgentError, ToolError
from lambda_llm.agent.tools.tool import CallContext, Effects, Outcome, ToolDescription
from lambda_llm.agent.tools.within import within

SOURCE: Final = "functions"
"""Name of the source of an agent's functions."""


@dataclass(frozen=True)
class FunctionTool:
    """A Python function as a tool.

    Attributes:
        function: what is called.
        description: with its name and parameters.
        arguments: model of its parameters.
        context: name of the parameter that takes the `CallContext`; empty: none does.
    """

    function: Callable[..., Any]
    description: ToolDescription
    arguments: type[BaseModel]
    context: str


def tool(
    effects: Effects | str, *, approval: bool = False, seconds: float = 60, name: str = ""
) -> Callable[[Callable[..., Any]], FunctionTool]:
    """Make a tool of a function: its docstring is the description, and its annotations are the parameters.

    A parameter that is annotated as `CallContext` is not the model's: it has the idempotency key and the store. What
    the function returns must be JSON. It may raise `ToolError` with a sentence for the model.

    Args:
        effects: what a second call does: `none`, `idempotent` or `once`.
        approval: whether a human must approve each call.
        seconds: most that a call may take; a function that goes on longer is left behind, and its end is not known.
        name: for the model; by default the function's.

    Raises:
        AgentDefinitionError: the function can't be a tool.
    """

    def decorate(function: Callable[..., Any]) -> FunctionTool:
        title = name or function.__name__
        try:
            hints = get_type_hints(function, include_extras=True)
            parameters = inspect.signature(function).parameters.values()
            context = next((one.name for one in parameters if hints.get(one.name) is CallContext), "")
            fields: dict[str, Any] = {
                one.name: (hints[one.name], ... if one.default is inspect.Parameter.empty else one.default)
                for one in parameters
                if one.name != context and one.kind in {one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY}
            }
            model = create_model(title, __config__=ConfigDict(extra="forbid"), **fields)
            schema = model.model_json_schema()
            kind = Effects(effects)
        except Exception as error:
            raise AgentDefinitionError(
                f"The tool {title} can't be described ({error}): annotate every parameter with a type that JSON has, "
                "and set effects to none, idempotent or once."
            ) from error
        if len(fields) + bool(context) != len(parameters):
            raise AgentDefinitionError(f"The tool {title} has *args, **kwargs or positional-only parameters.")
        text = inspect.getdoc(function)
        if not text:
            raise AgentDefinitionError(f"The tool {title} has no docstring, which is what the model knows of it.")
        schema.pop("title", None)
        described = ToolDescription(title, text, schema, kind, approval=approval, seconds=seconds)
        return FunctionTool(function, described, model, context)

    return decorate


class FunctionSource:
    """The functions of an agent, as a source."""

    name = SOURCE

    def __init__(self, tools: tuple[FunctionTool, ...]) -> None:
        """Take the functions; their names must differ, which the agent checks."""
        self._descriptions = tuple(one.description for one in tools)
        self._tools = {one.description.name: one for one in tools}

    def describe(self) -> tuple[ToolDescription, ...]:
        """See `ToolSource.describe`."""
        return self._descriptions

    def call(self, name: str, arguments: Mapping[str, Any], context: CallContext) -> Outcome:
        """See `ToolSource.call`. The function runs in a thread, because Python can't interrupt it."""
        one = self._tools[name]
        try:
            parsed = one.arguments.model_validate(dict(arguments), strict=False)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ToolError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        given = {field: getattr(parsed, field) for field in type(parsed).model_fields}
        if one.context:
            given[one.context] = context
        once = one.description.effects is Effects.ONCE
        return _answer(lambda: one.function(**given), context.seconds, "unknown" if once else "error")


def _answer(work: Callable[[], Any], seconds: float, failed: Literal["error", "unknown"]) -> Outcome:
    """The result of some work, or that it is not known in time. An exception's text is not passed on: it may quote."""

    def outcome() -> Outcome:
        try:
            return _outcome(work())
        except AgentError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, it must not end the execution
            return Outcome(failed, f"The tool failed with {type(error).__name__}.")

    answer = within(seconds, outcome)
    if answer is None:
        raise ToolError(f"The tool did not answer within {seconds:g} seconds.", unknown=True)
    return answer


def _outcome(value: Any) -> Outcome:
    if isinstance(value, Outcome):
        return value
    return Outcome("ok", TypeAdapter(Any).dump_python(value, mode="json"))
