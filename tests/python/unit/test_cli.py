import subprocess
import sys

import click
import pytest

from regime_engine.cli import COMMANDS, regime


def all_commands() -> list[tuple[str, click.Command]]:
    context = click.Context(regime)
    found = []
    for name in COMMANDS:
        command = regime.get_command(context, name)
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {sub}", command.commands[sub]) for sub in command.commands]
    return found


@pytest.mark.parametrize(("name", "command"), all_commands())
def test_every_command_and_option_has_a_help_text(name, command):
    assert command.help
    for option in command.params:
        assert isinstance(option, click.Argument) or option.help, f"{option.name} of regime {name}"


def test_help_imports_nothing_heavy():
    program = """
import sys
from regime_engine.cli import regime
regime(["--help"], standalone_mode=False)
print(*sorted({"numpy", "psycopg", "polars", "dbt"} & set(sys.modules)), file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0
    assert "backfill" in result.stdout
    assert result.stderr.strip() == ""


def test_a_mistyped_option_is_wrong_usage():
    command = [sys.executable, "-m", "regime_engine", "run", "--regoin", "US"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "--region" in result.stderr
