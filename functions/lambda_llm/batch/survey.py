"""What a file asks for, and what is wrong with it, before it is sent: as indexing will see it."""

from collections.abc import Iterable
from dataclasses import dataclass

from lambda_llm.batch.config import Configuration
from lambda_llm.batch.estimate import Totals
from lambda_llm.batch.index import EMPTY, ERRORS_MAX
from lambda_llm.batch.lines import LineError, parse, split
from lambda_llm.batch.rules import Rules, require_new
from lambda_llm.openai_types.batches import BatchError


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        endpoint: of the first line.
        model: of all lines; None: there is none that a batch may have.
        totals: of all lines without errors.
        errors: the first ones.
    """

    endpoint: str
    model: str | None
    totals: Totals
    errors: tuple[BatchError, ...]


def survey(blocks: Iterable[bytes], configuration: Configuration) -> Survey:
    """Read a file.

    Args:
        blocks: of it, in order.
        configuration: of the store that it is for.
    """
    rules: Rules | None = None
    endpoint = ""
    lines: dict[str, int] = {}
    errors: list[BatchError] = []
    size = given = answers = number = 0
    try:
        for number, raw in enumerate(split(blocks), 1):
            size = raw.after
            if raw.blank:
                continue
            try:
                line = parse(raw.content)
                if rules is None:
                    endpoint = line.url
                    rules = Rules(endpoint, configuration)
                tokens = rules.check(line)
                require_new(line.custom_id, lines)
            except LineError as error:
                errors.append(error.told(number))
                if len(errors) >= ERRORS_MAX:
                    break
                continue
            lines[line.custom_id] = number
            given, answers = given + tokens[0], answers + tokens[1]
    except LineError as error:
        errors.append(error.told(number + 1))
    if not lines and not errors:
        errors.append(EMPTY)
    model = None if rules is None else rules.model
    return Survey(endpoint, model, Totals(len(lines), size, given, answers), tuple(errors))
