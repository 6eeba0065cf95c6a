"""Texts against a constraint: whether its matcher takes them, token by token, as it would take a model's."""

from lambda_llm.engine.constraints import Constraint, schema_constraint
from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.matcher import Matcher, compiled
from lambda_llm.engine.schemas import Enforceable, widest
from lambda_llm.engine.tool_call_formats import hermes
from lambda_llm.engine.tool_call_formats.base import Tool


def as_answer(schema: Enforceable) -> Constraint:
    return schema_constraint(schema, widest(dict(schema.schema)))


def as_parameters(schema: dict[str, object], *, strict: bool) -> Constraint:
    """A call of the tool `f`; see `call`."""
    tools = {0: Tool("f", schema, strict=strict)}
    return hermes.FORMAT.constraint(tools, parallel=False, optional=False, thinking=False, markers={})


def call(arguments: str) -> str:
    return hermes.FORMAT.render([("f", arguments)])


def accepts(decoder: Decoder, constraint: Constraint, text: str, *, whole: bool = True) -> bool:
    """Whether the constraint allows a text and then the end; not `whole`: also when more may follow."""
    model = decoder.model
    matcher = Matcher(compiled(constraint, decoder.trie), decoder.trie)
    for token in model.tokenize(text, add_special=False):
        if token not in matcher.allowed():
            return False
        matcher.consume(token)
    return not whole or any(model.ends_turn(int(token)) for token in matcher.allowed())
