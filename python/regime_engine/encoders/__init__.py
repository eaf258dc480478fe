"""Encoders by model id; each is one file of pure functions over arrays."""

from collections.abc import Sequence
from typing import Protocol

from regime_engine.arrays import Floats, Floats32
from regime_engine.encoders import (
    num_regime_core_v1,
    num_regime_core_v2,
    num_regime_core_v3,
    numeric_simple_v1,
)
from regime_engine.errors import RegimeError


class Encoder(Protocol):
    """A module that turns windows into embeddings.

    COLUMNS: what it reads of daily_features, in order
    SCALE_FREE: whether its numbers are of one size, so that distances between standardised
        embeddings mean something
    """

    MODEL_ID: str
    COLUMNS: tuple[str, ...]
    SCALE_FREE: bool

    @property
    def WINDOW_DAYS(self) -> int | None:
        """The only length of window that it reads; None if it reads any."""

    def dimension(self, window_days: int) -> int:
        """How many numbers an embedding has."""

    def layout(self, window_days: int) -> Sequence[str]:
        """A name for each number of an embedding."""

    def encode(self, windows: Floats, /) -> Floats32:
        """windows: (n, window_days, columns), oldest row first; returns (n, dimension)"""


_ALL: tuple[Encoder, ...] = (
    numeric_simple_v1,
    num_regime_core_v1,
    num_regime_core_v2,
    num_regime_core_v3,
)
DEFAULT = num_regime_core_v3
ENCODERS = {encoder.MODEL_ID: encoder for encoder in _ALL}


def get(model_id: str, window_days: int | None = None) -> Encoder:
    """The encoder of this model id.

    raises RegimeError for an unknown model id, naming the known ones, and for a window length,
    where one is given, that the encoder does not read
    """
    if model_id not in ENCODERS:
        raise RegimeError(f"unknown model id {model_id!r}: choose one of {', '.join(ENCODERS)}")
    encoder = ENCODERS[model_id]
    needed = encoder.WINDOW_DAYS
    if window_days is not None and needed is not None and window_days != needed:
        raise RegimeError(
            f"{model_id} reads windows of {needed} days, not {window_days}: "
            f"give --window-days {needed}"
        )
    return encoder
