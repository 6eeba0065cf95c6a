"""JSON of `response_format`: how the text of a response is constrained.

Sources: https://platform.openai.com/docs/api-reference/chat, and the forms that llama-server and llama-cpp-python
take, whose `schema` stands beside `type`.
"""

from typing import Literal, Self

from pydantic import Field, StrictBool, model_validator

from lambda_llm.openai_types.common import Input, JSONObject, Text, refuse


class JSONSchema(Input):
    """A schema for the content."""

    name: Text | None = None
    description: Text | None = None
    schema_: JSONObject | None = Field(None, alias="schema")
    strict: StrictBool | None = None


class ResponseFormat(Input):
    """The format that the content is constrained by."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchema | None = None
    schema_: JSONObject | None = Field(None, alias="schema", description="the schema, without a name")

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None and self.schema_ is None:
            raise refuse("json_schema", "Field required", code="missing_required_parameter")
        if self.type != "json_schema" and self.json_schema is not None:
            raise refuse("json_schema", f"it belongs to the type 'json_schema', and the type is '{self.type}'")
        if self.schema_ is not None and (self.type == "text" or self.json_schema is not None):
            raise refuse("schema", "leave it out, or set 'type' to 'json_schema' and leave out 'json_schema'")
        return self
