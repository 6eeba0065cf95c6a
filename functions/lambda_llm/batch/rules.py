"""What a line has to be in its batch, besides a request."""

from lambda_llm.backends.contract import Operation
from lambda_llm.backends.tokens import input_tokens, output_tokens
from lambda_llm.batch.config import Configuration
from lambda_llm.batch.lines import LineError
from lambda_llm.batch_store.records import Record
from lambda_llm.openai_types.batches import BatchLine


class Rules:
    """What lines of a file have to be, besides requests."""

    def __init__(self, record: Record, configuration: Configuration, model: str | None) -> None:
        """Take what decides.

        Args:
            record: of the batch.
            configuration: of its store.
            model: of the lines before; None: there were none.
        """
        self._record = record
        self._configuration = configuration
        self.model = model

    def check(self, line: BatchLine) -> tuple[int, int]:
        """Tokens of a line's prompt and at most of its answer; raises LineError."""
        endpoint = self._record.batch.endpoint
        if line.url != endpoint:
            raise LineError("mismatched_endpoint", f"url must be {endpoint}, as of the batch.", "url")
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
        operation = Operation(endpoint)
        most = self._configuration.models[self.model].max_tokens
        return input_tokens(line.body), output_tokens(operation, line.body, most)

    def _require(self, name: object) -> None:
        allowed = self._record.rights.models
        names = [each for each in self._configuration.models if allowed is None or each in allowed]
        if name not in names:
            raise LineError(
                "model_not_found",
                f"There is no such model for batches: use {' or '.join(names) or 'none'}.",
                "body.model",
            )
        model = self._configuration.models[str(name)]
        if self._record.batch.endpoint not in model.operations:
            raise LineError(
                "mismatched_endpoint",
                f"This model has no {self._record.batch.endpoint} in batches.",
                "body.model",
            )
