"""Answers to what people ask about stored regimes; most are one SQL query."""
