"""Market regimes in Postgres: windows of daily features, embeddings, labels and their audit."""

__version__ = "0.1.0"
