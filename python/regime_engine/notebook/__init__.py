"""Regimes in a notebook, without a database: frames and arrays in, arrays out.

It calls the encoders, windows and classifiers of the engine, so its numbers are those that the
engine stores. What cannot be used raises ValueError, or TypeError, in one line.
"""

from regime_engine.notebook.estimators import MarkovRegimes, PrototypeRegimes
from regime_engine.notebook.features import daily_features, encode

__all__ = ["MarkovRegimes", "PrototypeRegimes", "daily_features", "encode"]
