"""Writes the pages that follow from the code: commands.md, tables.md, checks.md and layout.md.

`make docs` runs it. A test fails if a page differs from what this program would write.
"""

import inspect
import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

import click
import yaml

from regime_engine import encoders
from regime_engine.cli import SECTIONS, regime
from regime_engine.cli.options import DEFAULT_WINDOW_DAYS
from regime_engine.config import LAYER_OF
from regime_engine.engine import catalog

DOCS = Path(__file__).parent
PROJECT = DOCS.parent
NOTE = "<!-- Written by docs/generate.py: change what it reads, and run `make docs`. -->\n"

# The page that explains a command.
GUIDES = {
    "demo": "[your first hour](first-hour.md)",
    "init": "[give people access](access.md), [upgrade](operator.md#upgrade-back-up-and-restore)",
    "load": "[load prices](operator.md#load-prices-and-name-your-regions)",
    "region": "[name your regions](operator.md#load-prices-and-name-your-regions)",
    "forget": "[remove a series or an instrument](operator.md#remove-a-series-or-an-instrument)",
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
    "score": "[how to read it](reading.md#does-it-hold-on-my-series)",
    "report": "[make a report](report.md)",
    "audit": "[what the audit checks](checks.md)",
    "notify": "[be told when something changes](notify.md)",
    "status": "[metrics for Prometheus](dashboard.md#send-metrics-to-prometheus)",
    "db": "[settings](settings.md)",
}

COMMANDS_INTRODUCTION = """\
# Commands

`--help` after any command shows the text of this page. `python -m regime_engine` is another way to
call `regime`. The Tab key can [complete commands and options](#complete-with-the-tab-key).

Results go to stdout, everything else to stderr. The exit code is 0 if the command succeeded, 1 if
it failed (one line says why and what to do), and 2 if you used it wrongly.

Write these options before the command. Environment variables set more ([settings](settings.md)).

OPTIONS
A *series* is one region with one encoder and one window length: `--region`, `--model-id`,
`--window-days`. A *model version* is a fitted classifier of a series. Each date is classified by
the version that is valid on that date.
"""
COMMANDS_CONCLUSION = """\
## Complete with the Tab key

bash (4.4 or newer), zsh and fish can complete commands, options, the values of an option such as
`--format`, and files. Add these lines to the file that your shell reads when it starts. `regime`
must be on your `PATH` there.

bash, in `~/.bashrc`:

```bash
eval "$(_REGIME_COMPLETE=bash_source regime)"
```

zsh, in `~/.zshrc`; leave out the first line if the file has it already:

```zsh
autoload -Uz compinit && compinit
eval "$(_REGIME_COMPLETE=zsh_source regime)"
```

fish, in `~/.config/fish/config.fish`:

```fish
_REGIME_COMPLETE=fish_source regime | source
```

Completion reads no database, so it does not know your regions; `regime region list` shows them.
"""
TABLES_INTRODUCTION = """\
# Tables, views and functions

This page lists every table and view that dbt builds, and the source that it reads. The descriptions
are those of the project's `yml` files; `\\d+` in psql shows the same. Schemas and names are the
defaults. You can rename them ([settings](settings.md)).
"""
CHECKS_INTRODUCTION = """\
# What the audit checks

`regime audit` runs every check below and prints its verdict. A failure means that a row is wrong.
A warning means that the world may have changed since the row was written: a price was restated, or
a model was fitted. `--format json` prints the verdicts for a program. The exit code is 1 if a check
failed or was not run. With `--strict` it is 1 on a warning too.

The rows that a check finds stay in a table with the name of the check. The next audit makes the
table anew, and drops any view on it:

```sql
select * from audit_failures.regime_transitions_are_the_label_changes;
```

`dbt test --profiles-dir profiles --selector audit` runs the same checks from the shell, except
for `objects_are_as_the_project_builds_them`. `regime audit` is stricter in two more ways:

- A verdict comes from the query of the check. dbt counts the rows of the table that keeps them,
  which a trigger on events can empty.
- Its sessions set `search_path` to `pg_catalog, pg_temp`, whatever the login, the database or
  your dbt profile says. So nobody can put a function, an operator or a type before that of
  Postgres.
"""
CHECKS_CONCLUSION = """\
## How an edit is found

The audit computes everything again that follows from other rows: features from prices, transitions
from labels, the hash of a window from its features. A number that only Python can compute has a
hash beside it, which was written with the row and which SQL recomputes: `row_hash` of an
embedding, a regime, a revision and a run, `parameters_hash` of a model version. The macro
`row_hash` is the sha-256 of the canonical text of the columns as a JSON array; for an embedding,
the bytes of the vector follow the text. The rows that a run counted must exist, in force or as
revisions, so the audit also notices a deleted row.

What no honest history can leave is a failure, also where it looks like a change of the world. A
vote on regimes that never were is a failure, and a vote on regimes that were classified anew is a
warning. A regime by an older version is a failure if the run of a newer one had ended before the
regime's run began. A training span that is not the one that the run was asked for is a failure as
long as the features of its days are the same.

Somebody who may write the tables can compute all of these hashes again. The seals of the ledger
make that harder: the `seal` of a run depends on everything that it and all runs before it wrote.
The audit computes the chain again (`runs_are_sealed`, `runs_wrote_what_they_sealed`). Only a seal
that is kept outside the database shows that the whole chain was made anew: see [seals](seals.md).

## How the objects are compared

The check `objects_are_as_the_project_builds_them` reads nothing that the database says about
itself. It lets dbt compile the installed project, creates each view and function from that as a
temporary one, and each table's columns and constraints as a temporary table. Postgres then
describes both, and the two descriptions must be equal. All of this is rolled back. The login
needs the right to create temporary tables, as for a build.

- **Owners.** All objects have one owner, the one that most of them have.
- **Rights to write.** The owner has them, and the roles in the `grants` of the project. Any other
  role is named. Rights to read are free.
- **What you may add.** Views, tables, functions and indexes of your own, and foreign keys to our
  tables. A column, a constraint, a trigger or a rule on one of our tables is named.
- **Prices.** The views of staging depend on which columns your table of prices has, and on whether
  it has a unique index. If you changed that, run `regime pipeline` before the audit.
- **Partitions** of `numeric_window_embeddings` may be of any years, and have checks of their own.
- **Event triggers** run code whenever an object changes, so the audit names each that is enabled
  and is not of an extension. If one is yours, put its name into `REGIME_KNOWN_EVENT_TRIGGERS`, a
  list with commas.
- **Casts** between two types of Postgres that call a function are named, and so are functions and
  operators in `pg_catalog` that have the name of one of Postgres, and operators, casts, operator
  classes and SQL functions of Postgres that were changed since the cluster was made.
- **Seeds** have the rows of their files. `regime init` puts them back. To change a region, use
  `regime region add` or `regime region remove`.

## Compute everything again

`regime audit --replay` runs the audit. Then it computes embeddings, regimes, votes and transitions
again from the stored prices, and compares every byte with what is stored. It writes nothing: its
transaction is read-only, and it has no run in the ledger. `--region` and `--since` limit it to some
rows.

```sh
regime audit --replay --region US --since 2010-01-01
```

The replay does not rely on hashes or on `daily_features`. It reads the features from the view
`audit.expected_features`, which computes them from the prices. It classifies each regime by the
stored model version that the regime names. `--fits` also fits each version again, as its run in the
ledger was asked to, and compares parameters, training and metrics. This takes as long as the fits
took.

Each row that it finds has a verdict:

- **differs**: the row is not what follows from the prices and the stored models. The exit code
  is 1.
- **restated**: the prices of the row changed after it was written, so the row cannot be computed
  again. The replay classifies the stored vector of such a window and compares the regime with that.
  The exit code stays 0.
- **outdated**: a model version or a regime that the row rests on was replaced after the row was
  written. The exit code stays 0.

A later run of the same days replaces a window whose prices changed. So if the windows around it, of
that run, are still as the prices give them, its prices did not change, and the row "differs".

On another processor, or with another release of numpy, the last digits of a number can differ. If
no number differs by more than a millionth of its size, the replay says so. Then repeat it on the
machine that wrote the rows. For each model that differs, the replay names the releases of
regime-engine that fitted it then and now.

A replay cannot find:

- a price that was forged together with everything that follows from it, because the replay begins
  with the stored prices;
- a forged model, without `--fits`, if the regimes were classified by it;
- a forged window with a forged `window_hash`, if it is the newest one of its series, or if all
  windows with one of its days were forged too: its verdict is "restated". The same holds for a
  model with a forged `training_hash`;
- a row that is missing. The audit and a [seal](seals.md) find these.

## How the checks are tested

`tests/python/integration/test_mutations.py` builds a database with two regions, both classifiers,
the seed rule, several versions, failed runs and restated prices. The audit finds nothing in it.
The test then corrupts one thing at a time and requires that a check names the row. For every check
there is at least one corruption that this check must find. The corruptions are slips and
forgeries; some write every hash anew that goes with the row. Each is found by a check that fails.
What an honest history can cause as well is tested apart, and is found by a check that warns.
"""
LAYOUT_INTRODUCTION = f"""\
# The numbers of an embedding

This page names each number of an embedding, for a window of {DEFAULT_WINDOW_DAYS} days. The
[formulas](formulas.md#encoder-num-regime-core-v3) say how each number is computed.
`regime models --layout MODEL_ID` prints one number a line.

A stored vector is little-endian float32, 4 bytes a number. The numbers here count from 0. In SQL,
the array `audit.float32_array(vector)` counts from 1.
"""


def commands_page() -> str:
    """Every command of the click tree: usage, help, each option with its default."""
    context = click.Context(regime, info_name="regime")
    before, after = COMMANDS_INTRODUCTION.split("OPTIONS\n")
    page = [NOTE, before, *_options(regime, context), after]
    for section, names in SECTIONS.items():
        page.append(f"## {section}\n")
        for name in names:
            page += _command(regime.get_command(context, name), name, context)
    page.append(COMMANDS_CONCLUSION)
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
            is_private = model.get("access") == "private"
            is_stored = model.get("config", {}).get("materialized") != "ephemeral"
            if not is_private and is_stored and model.get("columns"):
                found.append((LAYER_OF[model["name"]] if layer == "engine" else layer, model))
    found += [("runtime", seed) for seed in _read("seeds/*.yml", "seeds")]
    order = list(dict.fromkeys(schema for schema, _ in found))
    found.sort(key=lambda each: order.index(each[0]))
    for schema, tables in groupby(found, key=lambda each: each[0]):
        yield schema, [table for _, table in tables]


def _read(pattern: str, kind: str) -> Iterator[dict]:
    """What the ymls declare of a kind, each `{{ doc('name') }}` replaced by its block's text."""
    for path in sorted(PROJECT.glob(pattern)):
        text = re.sub(r'"\{\{ doc\(\'(\w+)\'\) \}\}"', _quoted_block, path.read_text())
        yield from yaml.safe_load(text).get(kind, [])


def _quoted_block(call: re.Match) -> str:
    return json.dumps(_blocks()[call[1]])


@cache
def _blocks() -> dict[str, str]:
    """name → text of each `{% docs name %}` block beside the models."""
    block = re.compile(r"\{% docs (\w+) %\}\n(.*?)\n\{% enddocs %\}", re.DOTALL)
    pages = [page.read_text() for page in (PROJECT / "models").rglob("*.md")]
    return {name: text for page in pages for name, text in block.findall(page)}


def _key(table: dict) -> list[str]:
    for constraint in table.get("constraints", []):
        if constraint["type"] == "primary_key":
            return constraint["columns"]
        if found := re.match(r"primary key \((.+?)\)", constraint.get("expression", "")):
            return found[1].split(", ")
    return []


def checks_page() -> str:
    """Every test of the audit by section, with its description."""
    page = [NOTE, CHECKS_INTRODUCTION]
    tests = _read("tests/dbt/audit/*.yml", "data_tests")
    for section, checks in groupby(tests, key=lambda test: test["config"]["meta"]["section"]):
        page.append(f"## {section}\n\n| check | what holds, and what it finds |\n|---|---|")
        for check in checks:
            warning = " (warning)" if check["config"].get("severity") == "warn" else ""
            page.append(f"| {_code(check['name'])}{warning} | {_cell(check['description'])} |")
        if section == catalog.SECTION:
            page.append(f"| {_code(catalog.NAME)} | {_cell(catalog.DESCRIPTION)} |")
        if section == "Keys":
            for model in _read("models/engine/*.yml", "models"):
                for test in model.get("data_tests", []):
                    key = test["unique_key"]
                    page.append(f"| {_code(key['name'])} | {_cell(key['description'])} |")
        page.append("")
    page.append(CHECKS_CONCLUSION)
    return "\n".join(page)


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


PAGES = {
    "commands.md": commands_page,
    "tables.md": tables_page,
    "checks.md": checks_page,
    "layout.md": layout_page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
