"""The error that a user can put right."""

from collections.abc import Iterator
from contextlib import contextmanager


class RegimeError(Exception):
    """Something that the user can put right.

    The message is one line: what is wrong, with which row, file or option, and what to do.
    The command line prints it and exits with 1.
    """


@contextmanager
def value_errors() -> Iterator[None]:
    """Raise a RegimeError as a ValueError, as Python's libraries do: for a notebook."""
    try:
        yield
    except RegimeError as error:
        raise ValueError(str(error)) from None
