"""Encoders by model id; each is one file of pure functions over arrays.

An encoder has
- MODEL_ID, and COLUMNS: what it reads of daily_features, in order;
- SCALE_FREE: whether its numbers are of one size, so that distances between embeddings mean
  something once each number is standardised;
- `dimension(window_days)`, and `layout(window_days)`: a name for each number;
- `encode(windows)`: (n, window_days, columns) float64, oldest row first, to (n, dimension) float32.
"""

from types import ModuleType

from regime_engine.encoders import num_regime_core_v1, num_regime_core_v2, numeric_simple_v1
from regime_engine.errors import RegimeError

ENCODERS = {
    encoder.MODEL_ID: encoder
    for encoder in (numeric_simple_v1, num_regime_core_v1, num_regime_core_v2)
}


def get(model_id: str) -> ModuleType:
    """The encoder of this model id; raises RegimeError naming those there are."""
    if model_id not in ENCODERS:
        raise RegimeError(f"unknown model id {model_id!r}: choose one of {', '.join(ENCODERS)}")
    return ENCODERS[model_id]
