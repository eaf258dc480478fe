"""Writes the pages that follow from the code: commands.md, tables.md and layout.md.

`make docs` runs it. A test fails if a page differs from what this program would write.
"""

import inspect
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import click
import yaml

from regime_engine import encoders
from regime_engine.cli import COMMANDS, regime
from regime_engine.cli.options import DEFAULT_WINDOW_DAYS
from regime_engine.config import Settings

DOCS = Path(__file__).parent
PROJECT = DOCS.parent
NOTE = "<!-- Written by docs/generate.py: change what it reads, and run `make docs`. -->\n"

# The commands by purpose. A command that is not listed here is in the section Read.
SECTIONS = {
    "Set up": ("demo", "init", "load", "index"),
    "Classify": ("pipeline", "run", "backfill", "embed", "fit", "models", "global"),
    "Read": (),
    "The embedded Postgres": ("db",),
}
# The page that explains a command.
GUIDES = {
    "demo": "[your first hour](first-hour.md)",
    "init": "[give people access](access.md), [upgrade](operator.md#upgrade-back-up-and-restore)",
    "load": "[load prices](operator.md#load-prices-and-name-your-regions)",
    "pipeline": "[run it every night](operator.md#run-it-every-night), [schedulers](schedulers.md)",
    "embed": "[embed a whole market](operator.md#embed-a-whole-market)",
    "fit": "[fit a model](modeller.md#fit-a-model-and-label-a-history)",
    "models": "[the numbers of an embedding](layout.md)",
    "index": "[make the search faster](reading.md#make-the-search-faster)",
    "global": "[the regions' vote](modeller.md#combine-the-regions-into-global)",
    "matrix": "[how to read it](reading.md#see-how-often-one-label-follows-another)",
    "forecast": "[how to read it](reading.md#forecast-the-next-weeks)",
    "explain": "[how to read it](reading.md#ask-why-a-day-has-its-label)",
    "analogues": "[how to read it](reading.md#find-similar-days-in-the-past)",
    "report": "[make a report](report.md)",
    "audit": "[what the audit checks](checks.md)",
    "db": "[settings](settings.md)",
}

COMMANDS_INTRODUCTION = """\
# Commands

`--help` after any command shows the text of this page. `python -m regime_engine` is another way to
call `regime`.

Results go to stdout, everything else to stderr. The exit code is 0 if the command succeeded, 1 if
it failed (one line says why and what to do), and 2 if you used it wrongly.

Write these options before the command. Environment variables set more ([settings](settings.md)).

OPTIONS
A *series* is one region with one encoder and one window length: `--region`, `--model-id`,
`--window-days`. A *model version* is a fitted classifier of a series. Each date is classified by
the version that is valid on that date.
"""
TABLES_INTRODUCTION = """\
# Tables, views and functions

This page lists every table and view that dbt builds, and the source that it reads. The descriptions
are those of the project's `yml` files; `\\d+` in psql shows the same. Schemas and names are the
defaults. You can rename them ([settings](settings.md)).
"""
LAYOUT_INTRODUCTION = f"""\
# The numbers of an embedding

This page names each number of an embedding, for a window of {DEFAULT_WINDOW_DAYS} days. The
[formulas](formulas.md#encoder-num-regime-core-v2) say how each number is computed.
`regime models --layout MODEL_ID` prints one number a line.

A stored vector is little-endian float32, 4 bytes a number. The numbers here count from 0. In SQL,
the array `audit.float32_array(vector)` counts from 1.
"""


def commands_page() -> str:
    """Every command of the click tree: usage, help, each option with its default."""
    context = click.Context(regime, info_name="regime")
    before, after = COMMANDS_INTRODUCTION.split("OPTIONS\n")
    page = [NOTE, before, *_options(regime, context), after]
    placed = {name for names in SECTIONS.values() for name in names}
    for section, names in SECTIONS.items():
        page.append(f"## {section}\n")
        for name in names or sorted(set(COMMANDS) - placed):
            if name in COMMANDS:
                page += _command(regime.get_command(context, name), name, context)
    return "\n".join(page)


def _command(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    yield f"### `{context.command_path}`\n"
    if not isinstance(command, click.Group):
        pieces = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        yield f"```text\n{pieces}\n```\n"
    yield from _help(command)
    yield from _options(command, context)
    if name in GUIDES and parent.command is regime:
        yield f"More: {GUIDES[name]}.\n"
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            yield from _command(command.get_command(context, sub), sub, context)


def _help(command: click.Command) -> Iterator[str]:
    """The help text. A paragraph that click does not rewrap (behind a \\b) is commands to run."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield f"```sh\n{paragraph[2:]}\n```\n"
        else:
            yield paragraph + "\n"


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    options = [option for option in command.params if isinstance(option, click.Option)]
    if not options:
        return
    yield "| option | does | default |\n|---|---|---|"
    for option in options:
        usage, text = option.get_help_record(context)
        told, *defaults = re.split(r" +\[(?=[^\[\]]*\](?: *\[|$))", text)
        default = "; ".join(each.strip(" ]").removeprefix("default: ") for each in defaults)
        usage = usage.replace(" RANGE", "")
        yield f"| {_code(usage)} | {_cell(told)} | {_cell(default)} |"
    yield ""


def tables_page() -> str:
    """Every table, view, seed and function that the project's ymls describe."""
    page = [NOTE, TABLES_INTRODUCTION]
    for schema, described in _tables():
        page.append(f"## Schema `{schema}`\n")
        for table in described:
            page.append(f"### `{table['name']}`\n")
            page.append(" ".join(table["description"].split()) + "\n")
            if key := _key(table):
                page.append(f"Key: {', '.join(map(_code, key))}.\n")
            types = table.get("config", {}).get("column_types", {})
            page.append("| column | type | what |\n|---|---|---|")
            for column in table["columns"]:
                name = column["name"]
                kind = column.get("data_type") or types[name]
                page.append(f"| {_code(name)} | {kind} | {_cell(column['description'])} |")
            page.append("")
    page.append("## Functions\n\nSchema `audit`. Use them to compute a stored number yourself.\n")
    for function in _read("functions/*.yml", "functions"):
        arguments = function.get("arguments", [])
        signature = ", ".join(f"{each['name']} {each['data_type']}" for each in arguments)
        page.append(f"### `{function['name']}`\n\n```text\n{function['name']}({signature})\n```\n")
        page.append(" ".join(function["description"].split()) + "\n")
        returns = function["returns"]
        page.append("| argument | type | what |\n|---|---|---|")
        for argument in arguments:
            page.append(
                f"| {_code(argument['name'])} | {_cell(argument['data_type'])} "
                f"| {_cell(argument['description'])} |"
            )
        page.append(f"| *returns* | {returns['data_type']} | {_cell(returns['description'])} |\n")
    return "\n".join(page)


def _tables() -> Iterator[tuple[str, list[dict]]]:
    """(schema, its tables) in the order of the data flow, without private models."""
    found = [
        ("historical", table)
        for source in _read("models/**/*.yml", "sources")
        for table in source["tables"]
    ]
    for layer in ("staging", "features", "engine", "audit"):
        for model in _read(f"models/{layer}/*.yml", "models"):
            is_engine = layer == "engine"
            schema = Settings().table(model["name"])[0] if is_engine else layer
            if model.get("access") != "private" and model.get("columns"):
                found.append((schema, model))
    found += [("runtime", seed) for seed in _read("seeds/*.yml", "seeds")]
    order = list(dict.fromkeys(schema for schema, _ in found))
    found.sort(key=lambda each: order.index(each[0]))
    for schema, tables in groupby(found, key=lambda each: each[0]):
        yield schema, [table for _, table in tables]


def _read(pattern: str, kind: str) -> Iterator[dict]:
    for path in sorted(PROJECT.glob(pattern)):
        yield from yaml.safe_load(path.read_text()).get(kind, [])


def _key(table: dict) -> list[str]:
    for constraint in table.get("constraints", []):
        if constraint["type"] == "primary_key":
            return constraint["columns"]
        if found := re.match(r"primary key \((.+?)\)", constraint.get("expression", "")):
            return found[1].split(", ")
    return []


def layout_page() -> str:
    """Number and name of each number of each encoder; a long run of days is one row."""
    page = [NOTE, LAYOUT_INTRODUCTION]
    for model_id, encoder in reversed(encoders.ENCODERS.items()):
        names = encoder.layout(DEFAULT_WINDOW_DAYS)
        columns = ", ".join(map(_code, encoder.COLUMNS))
        page.append(f"## `{model_id}`\n")
        page.append(f"{encoder.dimension(DEFAULT_WINDOW_DAYS)} numbers, computed from {columns}.\n")
        page.append("| number | name |\n|---|---|")
        page += [f"| {numbers} | {name} |" for numbers, name in _runs(list(names))]
        page.append("")
    return "\n".join(page)


LONG_RUN = 9  # so many names that differ only in one number become one row


def _runs(names: list[str]) -> Iterator[tuple[str, str]]:
    stems = [re.sub(r"\d+", "#", name, count=1) for name in names]
    places: dict[str, list[int]] = {}
    for number, stem in enumerate(stems):
        places.setdefault(stem, []).append(number)
    for number, (name, stem) in enumerate(zip(names, stems, strict=True)):
        run = places[stem]
        if len(run) < LONG_RUN:
            yield str(number), _code(name)
        elif number == run[0]:
            step = run[1] - run[0]
            some = f"{run[0]}–{run[-1]}" if step == 1 else f"{run[0]}, {run[1]} … {run[-1]}"
            last = "" if names[run[-1]] == name else f" … {_code(names[run[-1]])}"
            yield some, _code(name) + last


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


PAGES = {"commands.md": commands_page, "tables.md": tables_page, "layout.md": layout_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
