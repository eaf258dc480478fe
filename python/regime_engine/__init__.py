"""Market regimes in Postgres: windows of daily features, embeddings, labels and their audit.

`open_database` reads what is stored, and `load` writes prices. The other names need no database.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regime_engine.errors import RegimeError
    from regime_engine.frames import open_database
    from regime_engine.notebook.estimators import MarkovRegimes, PrototypeRegimes
    from regime_engine.notebook.features import daily_features, encode
    from regime_engine.notebook.plots import plot_probabilities, plot_regimes
    from regime_engine.prices.frames import load

__version__ = "0.1.0"
__all__ = [
    "MarkovRegimes",
    "PrototypeRegimes",
    "RegimeError",
    "daily_features",
    "encode",
    "load",
    "open_database",
    "plot_probabilities",
    "plot_regimes",
]

# name → the module that has it
_MODULES = {
    "MarkovRegimes": "notebook.estimators",
    "PrototypeRegimes": "notebook.estimators",
    "RegimeError": "errors",
    "daily_features": "notebook.features",
    "encode": "notebook.features",
    "load": "prices.frames",
    "open_database": "frames",
    "plot_probabilities": "notebook.plots",
    "plot_regimes": "notebook.plots",
}


# Imported when asked for: a command does not wait for what a notebook needs.
def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
