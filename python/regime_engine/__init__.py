"""Market regimes in Postgres: windows of daily features, embeddings, labels and their audit.

Without a database, `from regime_engine import …` what `regime_engine.notebook` has. `load` writes
prices to the database.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regime_engine.notebook import MarkovRegimes, PrototypeRegimes, daily_features, encode
    from regime_engine.prices.frames import load

__version__ = "0.1.0"
__all__ = ["MarkovRegimes", "PrototypeRegimes", "daily_features", "encode", "load"]


# Imported when asked for: a command does not wait for what a notebook needs.
def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "load":
        from regime_engine.prices.frames import load

        return load
    from regime_engine import notebook

    return getattr(notebook, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
