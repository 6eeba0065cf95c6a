"""Why files and batches can't be read, written or started."""

from lambda_llm.errors import LambdaLLMError


class StoreError(LambdaLLMError):
    """The bucket or Step Functions does not answer, or refuses; nobody knows more than that."""


class NoSuchError(LambdaLLMError):
    """The tenant has no such file or batch: whether another tenant has it, nobody is told.

    Attributes:
        param: the field that names it.
    """

    def __init__(self, param: str, sentence: str) -> None:
        super().__init__(sentence)
        self.param = param


class StateError(LambdaLLMError):
    """A batch is in a state in which it can't be done what was asked for."""


class InputError(LambdaLLMError):
    """A request for a file or a batch can't be honoured.

    Attributes:
        param: the field at fault.
    """

    def __init__(self, param: str, sentence: str) -> None:
        super().__init__(sentence)
        self.param = param
