"""Base classes of all expected failures."""


class LambdaLLMError(Exception):
    """An expected failure; its text is one sentence for whoever has to fix the cause.

    The sentence says what was wrong, what was expected and what to do. Any other exception is a bug in this package.
    """


class LoadError(LambdaLLMError):
    """A model was not loaded, and no part of it is left in memory.

    Attributes:
        address: of the model (`s3://bucket/key` or a path), where the sentence does not name it. Code that sees only
            bytes leaves it empty; `about` fills it in.
    """

    address: str = ""

    def __str__(self) -> str:
        sentence = super().__str__()
        return f"{self.address}: {sentence}" if self.address else sentence
