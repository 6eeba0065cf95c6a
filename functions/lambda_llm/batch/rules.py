"""What a line has to be in its batch, besides a request."""

from collections.abc import Collection, Mapping

from lambda_llm.backends.contract import Operation
from lambda_llm.backends.tokens import input_tokens, output_tokens
from lambda_llm.batch.config import Configuration
from lambda_llm.batch.lines import LineError
from lambda_llm.openai_types.batches import ENDPOINTS, BatchLine


class Rules:
    """What lines of a file have to be, besides requests."""

    def __init__(
        self,
        endpoint: str,
        configuration: Configuration,
        allowed: Collection[str] | None = None,
        model: str | None = None,
    ) -> None:
        """Take what decides.

        Args:
            endpoint: of the batch.
            configuration: of its store.
            allowed: models that its tenant may use; None: all.
            model: of the lines before; None: there were none.
        """
        self._endpoint = endpoint
        self._allowed = allowed
        self._configuration = configuration
        self.model = model

    def check(self, line: BatchLine) -> tuple[int, int]:
        """Tokens of a line's prompt and at most of its answer; raises LineError."""
        if line.url != self._endpoint:
            raise LineError("mismatched_endpoint", f"url must be {self._endpoint}, as of the batch.", "url")
        name = line.body.get("model")
        if self.model is None:
            self._require(name)
            self.model = str(name)
        elif name != self.model:
            raise LineError(
                "mismatched_model",
                "A file has requests to one model: write those to others into files of their own.",
                "body.model",
            )
        if line.body.get("stream") not in (None, False):
            raise LineError("unsupported_parameter", "Leave out stream: batches have none.", "body.stream")
        operation = Operation(self._endpoint)
        most = self._configuration.models[self.model].max_tokens
        return input_tokens(line.body), output_tokens(operation, line.body, most)

    def _require(self, name: object) -> None:
        names = [each for each in self._configuration.models if self._allowed is None or each in self._allowed]
        if name not in names:
            raise LineError(
                "model_not_found",
                f"There is no such model for batches: use {' or '.join(names) or 'none'}.",
                "body.model",
            )
        model = self._configuration.models[str(name)]
        if self._endpoint not in model.operations or self._endpoint not in ENDPOINTS:
            raise LineError(
                "mismatched_endpoint",
                f"This model has no {self._endpoint} in batches.",
                "body.model",
            )


def require_new(custom_id: str, lines: Mapping[str, int]) -> None:
    """Raise LineError for an id that another line has.

    Args:
        custom_id: of a line.
        lines: numbers of the lines before, by their ids.
    """
    if custom_id in lines:
        sentence = f"This custom_id is also that of line {lines[custom_id]}: give each request one of its own."
        raise LineError("duplicate_custom_id", sentence, "custom_id")
