"""What every error of this package has in common."""


class LambdaLLMError(Exception):
    """An expected failure; its text is one sentence for the person who has to act on it.

    The sentence says what was wrong, what was expected and what to do. Anything that is not a
    `LambdaLLMError` is a defect of this package.
    """
