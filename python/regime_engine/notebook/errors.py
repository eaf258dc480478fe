from collections.abc import Iterator
from contextlib import contextmanager

from regime_engine.errors import RegimeError


@contextmanager
def value_errors() -> Iterator[None]:
    """The engine's RegimeError as the ValueError that Python's libraries raise."""
    try:
        yield
    except RegimeError as error:
        raise ValueError(str(error)) from None
