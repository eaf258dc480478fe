"""JSON as Postgres writes jsonb, so that hashes over it can be computed without a database."""

import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal


def row_hash(values: list[object]) -> str:
    """The sha-256 (hex) of a row's values, as the macro row_hash computes it."""
    return hashlib.sha256(text(values).encode()).hexdigest()


def text(value: object) -> str:
    """The text of the value as jsonb: shorter keys first, and numbers without an exponent."""
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        encoded = sorted((len(key.encode()), key.encode(), key) for key in value)
        pairs = (f"{_string(key)}: {text(value[key])}" for _, _, key in encoded)
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(text, value))}]"
    return _string(value)


def _number(value: float) -> str:
    if not math.isfinite(value):  # Postgres has no such number: it equals none that is stored
        return json.dumps(float(value))
    digits = float.__repr__(value)
    if "e" in digits:
        digits = format(Decimal(digits), "f")
    return "0.0" if digits == "-0.0" else digits


def _string(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
