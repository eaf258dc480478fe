"""Market regimes in Postgres: windows of daily features, embeddings, labels and their audit."""
