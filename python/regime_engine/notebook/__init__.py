"""Regimes in a notebook, without a database: frames and arrays in, arrays out.

It calls the same encoders, windows and classifiers as the engine, so it computes the numbers that
the engine stores. Input that cannot be used raises ValueError or TypeError, with a message of one
line.
"""

from regime_engine.notebook.estimators import MarkovRegimes, PrototypeRegimes
from regime_engine.notebook.features import daily_features, encode

__all__ = ["MarkovRegimes", "PrototypeRegimes", "daily_features", "encode"]
