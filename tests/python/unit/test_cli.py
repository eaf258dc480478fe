import subprocess
import sys
from itertools import pairwise

import click
import pytest

from regime_engine.cli import COMMANDS, SECTIONS, regime


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


def test_help_has_every_command_in_its_section_with_a_whole_sentence():
    context = click.Context(regime, info_name="regime", terminal_width=80)
    shown = " ".join(regime.get_help(context).split())
    ends = [*(shown.index(f" {section}: ") for section in SECTIONS), len(shown)]
    for (_, names), (begin, end) in zip(SECTIONS.items(), pairwise(ends), strict=True):
        for name in names:
            command = regime.get_command(context, name)
            paragraph = " ".join(command.help.split("\n\n")[0].split())
            sentence = paragraph.partition(". ")[0].removesuffix(".")
            assert f" {name} {sentence}." in shown[begin:end]


def test_a_mistyped_command_is_wrong_usage_with_the_nearest_one():
    command = [sys.executable, "-m", "regime_engine", "histroy"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "Did you mean 'history'?" in result.stderr


def test_a_mistyped_option_is_wrong_usage():
    command = [sys.executable, "-m", "regime_engine", "run", "--regoin", "US"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "--region" in result.stderr
