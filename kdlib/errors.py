"""The one exception that bad input raises."""


class InputError(ValueError):
    """Bad input: one sentence that says what is wrong, where, and how to mend it."""


def require(condition: object, message: str) -> None:
    """Raise ``InputError`` with this sentence unless the condition holds."""
    if not condition:
        raise InputError(message)
