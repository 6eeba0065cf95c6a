"""The base classes of every expected failure."""


class LambdaLLMError(Exception):
    """An expected failure; its text is one sentence for the person who has to act on it.

    The sentence says what was wrong, what was expected and what to do. Anything that is not a
    `LambdaLLMError` is a defect of this package.
    """


class LoadError(LambdaLLMError):
    """A model was not loaded, and nothing of it is left in memory.

    Attributes:
        address: of the model (`s3://bucket/key` or a path), where the sentence does not name it. Code that knows the
            bytes but not where they come from leaves it empty; `about` fills it in.
    """

    address: str = ""

    def __str__(self) -> str:
        sentence = super().__str__()
        return f"{self.address}: {sentence}" if self.address else sentence
