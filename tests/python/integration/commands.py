"""The command line as a user runs it: in a process of its own."""

import os
import subprocess
import sys

from regime_engine.config import Settings


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which a command works on the database of these settings."""
    return os.environ | {
        "REGIME_DATABASE_URL": settings.database_url,
        "REGIME_STATE_DIR": str(settings.state_directory),
    }


def regime_command(settings: Settings, *arguments: str) -> subprocess.CompletedProcess:
    """Run `regime` on the database of the settings; no traceback may ever show."""
    result = subprocess.run(
        [sys.executable, "-m", "regime_engine", *arguments],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in result.stderr, result.stderr
    return result
