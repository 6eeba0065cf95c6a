"""What an environment on Lambda knows of itself, for `/health`."""

import time
from collections.abc import Mapping
from typing import Self

from lambda_llm.serving.service import FunctionEnvironment
from lambda_llm.telemetry import emf


class LambdaEnvironment:
    """This environment of the function: a `Resource`, because every restore of a snapshot is another one.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """

    def __init__(self, function: str, variables: Mapping[str, str]) -> None:
        self._function = function
        self._version = variables.get("AWS_LAMBDA_FUNCTION_VERSION")
        self._initialization = variables.get("AWS_LAMBDA_INITIALIZATION_TYPE")
        memory = variables.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self._memory_mb = int(memory) if memory else None
        self._restored = False
        self._begin()

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Self | None:
        """The environment that these variables are of; None outside Lambda."""
        function = variables.get("AWS_LAMBDA_FUNCTION_NAME")
        return cls(function, variables) if function else None

    def before_snapshot(self) -> None:
        """See `Resource`; there is nothing to close."""

    def after_restore(self) -> None:
        """Become another environment."""
        self._restored = True
        self._begin()

    def describe(self) -> FunctionEnvironment:
        """The environment as it is now."""
        return FunctionEnvironment(
            id=self._id,
            function=self._function,
            version=self._version,
            initialization=self._initialization,
            memory_mb=self._memory_mb,
            restored=self._restored,
            age_seconds=time.monotonic() - self._began,
        )

    def _begin(self) -> None:
        emf.renew()
        self._id = emf.environment()
        self._began = time.monotonic()
