from collections.abc import Iterator
from contextlib import contextmanager


class RegimeError(Exception):
    """Something that the user can put right.

    The message is one line: what is wrong, with which row, file or option, and what to do.
    The command line prints it and exits with 1.
    """


@contextmanager
def value_errors() -> Iterator[None]:
    """For a notebook: a RegimeError as the ValueError that Python's libraries raise."""
    try:
        yield
    except RegimeError as error:
        raise ValueError(str(error)) from None
