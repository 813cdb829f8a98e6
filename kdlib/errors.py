"""The one exception that bad input raises."""

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Bad input: one sentence that says what is wrong, where, and how to mend it."""


def require(condition: object, message: str) -> None:
    """Raise ``InputError`` with this sentence unless the condition holds."""
    if not condition:
        raise InputError(message)


@contextmanager
def explained(problem: str, remedy: str, *errors: type[Exception]) -> Iterator[None]:
    """Raise ``InputError`` in place of these errors of a library: the problem, what the error itself says, the remedy."""
    try:
        yield
    except errors as error:
        said = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"{problem} ({said:.99}): {remedy}.") from error
