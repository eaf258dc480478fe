import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from regime_engine.errors import RegimeError

# Any of these in the environment says that the user has a server of their own in mind.
LIBPQ_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE", "PGDATABASE")

EMBEDDED = "embedded"

# The folders under models/ that have a schema of their own; `historical` has one of the engine's
# tables and the prices that `regime load` brings.
LAYERS = ("historical", "staging", "features", "runtime", "audit")
_REGIMES = ("regimes", "regime_transitions", "regime_models", "regime_revisions", "regime_runs")
# What the engine writes; dbt creates it.
ENGINE_TABLES = ("numeric_window_embeddings", *_REGIMES)
# The views and functions of the audit that Python reads.
_AUDIT = (
    "embedding_integrity",
    "expected_features",
    "float32_array",
    "label_profile",
    "market_days",
    "model_lineage",
    "price_suspicions",
    "regime_forecast",
    "regime_spells",
    "regime_timeline",
    "run_ledger",
    "test_history",
    "transition_matrix",
    "transition_reconciliation",
    "volatility_forecasts",
)
# The layer of each model, seed and function that Python names.
LAYER_OF = {
    "numeric_window_embeddings": "historical",
    "stg_prices_daily": "staging",
    "daily_features": "features",
    **dict.fromkeys((*_REGIMES, "regions", "regime_labels"), "runtime"),
    **dict.fromkeys(("audit_verdicts", "current_regions", "run_contents"), "runtime"),
    **dict.fromkeys(("notifications", "notification_deliveries"), "runtime"),
    # Made by Python, before dbt's first build.
    "regime_locks": "runtime",
    **dict.fromkeys(_AUDIT, "audit"),
}
ALIAS = "REGIME_ALIAS_"
# lock_timeout counts milliseconds in 32 bits.
MAX_DIGITS_OF_SECONDS = 6


@dataclass(frozen=True)
class Settings:
    """What a command needs to know before it reaches the database; read once, passed on.

    database_url: a Postgres URL or conninfo string; "" leaves it all to the libpq variables;
        "embedded" is the embedded server of `regime_engine.database.embedded`
    aliases: model or seed → the name of its table or view, where that is another
    lock_timeout: seconds to wait for a lock, 0 for ever; None leaves it to the login, or else to
        the default
    chromium: what prints a report, if it is not one of the usual names on the PATH
    known_event_triggers: those that the team has, and that the audit therefore does not name
    """

    # Not in the repr: a URL can hold a password.
    database_url: str = field(default=EMBEDDED, repr=False)
    historical_schema: str = "historical"
    runtime_schema: str = "runtime"
    staging_schema: str = "staging"
    features_schema: str = "features"
    audit_schema: str = "audit"
    aliases: Mapping[str, str] = field(default_factory=dict)
    state_directory: Path | None = None
    project_directory: Path | None = None
    lock_timeout: int | None = None
    chromium: str | None = None
    known_event_triggers: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, database_url: str | None = None) -> "Settings":
        """Settings of this process: the option first, then the environment, then the defaults."""
        url = database_url or os.environ.get("REGIME_DATABASE_URL")
        if not url:
            url = "" if any(map(os.environ.get, LIBPQ_VARIABLES)) else EMBEDDED
        schemas = {
            f"{layer}_schema": os.environ.get(f"REGIME_{layer.upper()}_SCHEMA") or layer
            for layer in LAYERS
        }
        aliases = {
            name.removeprefix(ALIAS).lower(): alias
            for name, alias in os.environ.items()
            if name.startswith(ALIAS) and alias
        }
        return cls(
            database_url=url,
            **schemas,
            aliases=aliases,
            state_directory=_path("REGIME_STATE_DIR"),
            project_directory=_path("REGIME_PROJECT_DIR"),
            lock_timeout=_seconds("REGIME_LOCK_TIMEOUT"),
            chromium=os.environ.get("REGIME_CHROMIUM") or None,
            known_event_triggers=_names("REGIME_KNOWN_EVENT_TRIGGERS"),
        )

    @property
    def cache_directory(self) -> Path:
        """Where files are kept that can be made again."""
        if self.state_directory:
            return self.state_directory
        if cache := os.environ.get("XDG_CACHE_HOME"):
            return Path(cache, "regime-engine").absolute()
        return home() / ".cache/regime-engine"

    @property
    def failures_schema(self) -> str:
        """Where what the tests find is kept."""
        return f"{self.audit_schema}_failures"

    @property
    def names(self) -> dict[str, str]:
        """The environment by which dbt gives its relations the names of these settings."""
        schemas = {f"REGIME_{layer.upper()}_SCHEMA": self._schema(layer) for layer in LAYERS}
        return schemas | {f"{ALIAS}{n.upper()}": alias for n, alias in self.aliases.items()}

    def table(self, name: str) -> tuple[str, str]:
        """(schema, name) in the database of dbt's model or seed of this name."""
        return self._schema(LAYER_OF[name]), self.aliases.get(name, name)

    def _schema(self, layer: str) -> str:
        return getattr(self, f"{layer}_schema")


def home() -> Path:
    """The user's home folder. raises RegimeError if there is none"""
    try:
        return Path.home()
    except RuntimeError as error:
        raise RegimeError("this user has no home folder: set REGIME_STATE_DIR") from error


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    if not value:
        return None
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as error:
        raise RegimeError(f"{variable}={value}: there is no such home folder") from error


def _seconds(variable: str) -> int | None:
    value = os.environ.get(variable)
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > MAX_DIGITS_OF_SECONDS:
        raise RegimeError(
            f"{variable}={value}: write whole seconds, such as 600, or 0 for no limit"
        )
    return int(value)


def _names(variable: str) -> tuple[str, ...]:
    """The names in a list with commas."""
    listed = os.environ.get(variable, "").split(",")
    return tuple(name.strip() for name in listed if name.strip())
