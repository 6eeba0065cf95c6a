"""A store's configuration: which models its batches may have, and what may answer for each.

`modules/batch` writes it, as JSON.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lambda_llm.backends.contract import Operation
from lambda_llm.batch.errors import BatchConfigurationError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
Region = Annotated[str, Field(pattern=r"^[a-z]{2,4}(-[a-z]+)+-\d+$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LambdaBackend(_Part):
    """A function for inference, invoked for each record.

    Attributes:
        function: ARN of its alias.
        region: of it.
        model: as the function calls it.
        prefill: tokens of a prompt in a second, of one environment.
        decode: tokens of an answer in a second, likewise.
        concurrency: most requests at once, of all workers of a batch together: what the function's reserved concurrency
            has beside what interactive requests need.
        parallel: those of one worker.
        timeout: of the function, in seconds.
        url: of a VPC endpoint; None: the service's own.
    """

    kind: Literal["lambda"]
    function: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:lambda:[^:]+:\d{12}:function:[^:]+:[^:]+$")]
    region: Region
    model: Annotated[str, Field(min_length=1)]
    prefill: Positive
    decode: Positive
    concurrency: Count = 10
    parallel: Count = 4
    timeout: Annotated[int, Field(gt=0, le=900)] = 900
    url: str | None = None


class BedrockBackend(_Part):
    """A batch job of Bedrock for each part.

    Attributes:
        model: id of the model or of an inference profile.
        region: of it.
        role: ARN of the role with which Bedrock reads and writes the store.
        input: US dollars for a million tokens of prompts.
        output: US dollars for a million tokens of answers.
        hours: that a job may take; Bedrock does not say how long it will.
        records: fewest records of a job, which is a quota of the account.
    """

    kind: Literal["bedrock"]
    model: Annotated[str, Field(min_length=1)]
    region: Region
    role: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$")]
    input: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    output: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    hours: Annotated[int, Field(ge=24, le=168)] = 24
    records: Count = 100


class GPUBackend(_Part):
    """An array job of AWS Batch, whose containers have a server of OpenAI's API.

    Attributes:
        queue: ARN of the job queue.
        definition: ARN of the job definition.
        model: as the server calls it.
        hourly: US dollars for an hour of an instance.
        prefill: tokens of prompts in a second, of all requests of an instance together.
        decode: tokens of answers in a second, likewise.
        instances: most of them at once.
        start_seconds: until an instance answers its first request.
        parallel: requests at once, of one instance.
    """

    kind: Literal["gpu"]
    queue: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:batch:[^:]+:\d{12}:job-queue/.+$")]
    definition: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:batch:[^:]+:\d{12}:job-definition/.+$")]
    model: Annotated[str, Field(min_length=1)]
    hourly: Positive
    prefill: Positive
    decode: Positive
    instances: Count = 1
    start_seconds: Positive = 400.0
    parallel: Count = 64


Backend = Annotated[LambdaBackend | BedrockBackend | GPUBackend, Field(discriminator="kind")]


class Model(_Part):
    """A model, as records name it.

    Attributes:
        operations: that it has, by their paths.
        max_tokens: limit of an answer whose record has none, and of every other.
        backends: that may answer, by name.
    """

    operations: Annotated[tuple[Operation, ...], Field(min_length=1)]
    max_tokens: Count = 1024
    backends: Annotated[Mapping[Name, Backend], Field(min_length=1)]


class Configuration(_Part):
    """The whole of it.

    Attributes:
        version: of its format.
        machine: ARN of the state machine.
        models: by name.
        inbox: whose batches are those that uploads start; None: uploads start none.
        inbox_dollars: that each of them may cost; None: no limit.
    """

    version: Literal[1]
    machine: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:states:[^:]+:\d{12}:stateMachine:.+$")]
    models: Annotated[Mapping[Name, Model], Field(min_length=1)]
    inbox: str | None = None
    inbox_dollars: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> "Configuration":
        for name, model in self.models.items():
            if len({each.casefold() for each in model.backends}) != len(model.backends):
                raise ValueError(f"the model {name!r} has backends whose names differ by case alone")
        return self


def parse(content: bytes) -> Configuration:
    """Read a configuration.

    Raises:
        BatchConfigurationError: it is no JSON, or something in it is wrong; names the first place.
    """
    try:
        return Configuration.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise BatchConfigurationError(
            f"The configuration of batches can't be used ({f'{place}: ' if place else ''}{what}): apply modules/batch "
            "again."
        ) from None
