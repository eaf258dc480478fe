import os
from dataclasses import dataclass, field
from pathlib import Path

# Any of these in the environment says that the user has a server of their own in mind.
LIBPQ_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE", "PGDATABASE")

EMBEDDED = "embedded"


@dataclass(frozen=True)
class Settings:
    """What a command needs to know before it reaches the database; read once, passed on.

    database_url: a Postgres URL or conninfo string; "" leaves it all to the libpq variables;
        "embedded" is the embedded server of `regime_engine.database.embedded`
    """

    # Not in the repr: a URL can hold a password.
    database_url: str = field(default=EMBEDDED, repr=False)
    historical_schema: str = "historical"
    runtime_schema: str = "runtime"
    state_directory: Path | None = None
    project_directory: Path | None = None

    @classmethod
    def from_environment(cls, database_url: str | None = None) -> "Settings":
        """Settings of this process: the option first, then the environment, then the defaults."""
        environment = os.environ
        url = database_url or environment.get("REGIME_DATABASE_URL")
        if not url:
            names_a_server = any(environment.get(name) for name in LIBPQ_VARIABLES)
            url = "" if names_a_server else EMBEDDED
        return cls(
            database_url=url,
            historical_schema=environment.get("REGIME_HISTORICAL_SCHEMA") or "historical",
            runtime_schema=environment.get("REGIME_RUNTIME_SCHEMA") or "runtime",
            state_directory=_path(environment.get("REGIME_STATE_DIR")),
            project_directory=_path(environment.get("REGIME_PROJECT_DIR")),
        )


def _path(value: str | None) -> Path | None:
    return Path(value).expanduser().absolute() if value else None
