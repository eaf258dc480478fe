import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from regime_engine.cli import COMMANDS, regime

COMMANDS_PAGE = Path(__file__).parents[3] / "docs" / "commands.md"


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
def test_every_command_and_option_is_in_the_reference_and_has_a_help_text(name, command):
    page = COMMANDS_PAGE.read_text()
    section = re.search(rf"^#+ `regime {name}[ `].*?(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    assert section, f"docs/commands.md has no section on regime {name}"
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help or option.name == "output_format"
            for spelling in option.opts:
                assert f"`{spelling}" in section[0], f"{spelling} of regime {name} is missing"


def test_the_reference_names_no_option_that_is_not_there():
    known = {s for _, command in all_commands() for option in command.params for s in option.opts}
    known |= {s for option in regime.params for s in option.opts}
    assert set(re.findall(r"`(--[a-z-]+)", COMMANDS_PAGE.read_text())) <= known


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
    result = subprocess.run(
        [sys.executable, "-m", "regime_engine", "run", "--regoin", "US"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "--region" in result.stderr
