"""Regimes in a notebook, without a database: frames and arrays in, arrays out.

It calls the same encoders, windows and classifiers as the engine, so it computes the numbers that
the engine stores. Input that cannot be used raises ValueError or TypeError, with a message of one
line.
"""
