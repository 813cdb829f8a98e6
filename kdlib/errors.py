"""The one exception that bad input raises."""


class InputError(ValueError):
    """Bad input: one sentence that says what is wrong, where, and how to mend it."""
