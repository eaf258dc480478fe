"""The command line as a user runs it: in a process of its own."""

import os

from regime_engine.config import Settings


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which a command works on the database of these settings."""
    return os.environ | {
        "REGIME_DATABASE_URL": settings.database_url,
        "REGIME_STATE_DIR": str(settings.state_directory),
    }
