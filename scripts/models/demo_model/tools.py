"""The tools that the demo model can call; what calls it offers these, word for word."""

import json
from typing import Any, Final


def _tool(name: str, description: str, /, **parameters: str) -> dict[str, Any]:
    """Returns a tool as OpenAI's API takes it; `parameters` are the JSON types by the names, all required."""
    properties = {parameter: {"type": kind} for parameter, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


WEATHER: Final = _tool("get_weather", "Get the current weather of a city.", city="string")
FIND_DOCUMENT: Final = _tool("find_document", "Find the document about a topic.", topic="string")
READ_DOCUMENT: Final = _tool("read_document", "Read a document by its name.", name="string")
RUN_CODE: Final = _tool("run_code", "Run Python code and get its output.", code="string")
ASK_HUMAN: Final = _tool("ask_human", "Ask a human and get the answer.", question="string")
WAIT: Final = _tool("wait", "Wait for a number of days.", days="integer")

RESEARCH: Final = (FIND_DOCUMENT, READ_DOCUMENT, RUN_CODE, ASK_HUMAN, WAIT)
"""What a research assistant may be given."""

DISTRACTORS: Final = (
    _tool("send_email", "Send an email.", to="string", text="string"),
    _tool("get_time", "Get the time in a time zone.", zone="string"),
    _tool("search_flights", "Search flights between two cities.", start="string", end="string"),
    _tool("book_room", "Book a room in a hotel.", hotel="string", nights="integer"),
    _tool("translate", "Translate a text into another language.", text="string", language="string"),
    _tool("list_files", "List the files in a folder.", folder="string"),
    _tool("get_stock_price", "Get the price of a stock.", symbol="string"),
    _tool("create_ticket", "Create a support ticket.", title="string"),
    _tool("play_music", "Play a song.", song="string"),
    _tool("convert_currency", "Convert money into another currency.", amount="number", currency="string"),
    _tool("delete_file", "Delete a file.", path="string"),
    _tool("get_news", "Get the news about a company.", company="string"),
)
"""Tools that nothing asks for: they may stand beside the others."""

OTHER_WORDS: Final = {
    "get_weather": ("Get the weather.", "Return the current weather of a city."),
    "find_document": ("Find a document about a topic and return its name.", "Search documents by topic."),
    "read_document": ("Read a document.", "Return the text of a document."),
    "run_code": ("Run Python code.", "Run Python code in a sandbox and return what it prints."),
    "ask_human": ("Ask a human for approval.", "Ask a person a question and wait for the answer."),
    "wait": ("Wait some days.", "Sleep for a number of days."),
}
"""Other descriptions that are taught now and then, by the tools' names."""


def described(tool: dict[str, Any], description: str) -> dict[str, Any]:
    """Returns the tool with another description."""
    return tool | {"function": tool["function"] | {"description": description}}


def name_of(tool: dict[str, Any]) -> str:
    """Returns a tool's name."""
    return str(tool["function"]["name"])


def call(tool: dict[str, Any], *arguments: str | int) -> str:
    """Returns the text of a tool call as the model writes it; `arguments` are in the order of the parameters."""
    names = tool["function"]["parameters"]["properties"]
    return json.dumps({"name": name_of(tool), "parameters": dict(zip(names, arguments, strict=True))})
