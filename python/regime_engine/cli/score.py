import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING

import click

from regime_engine.cli.options import format_option, series_options, stretch_options
from regime_engine.cli.output import print_rows, say, table
from regime_engine.cli.progress import Phases
from regime_engine.config import Settings
from regime_engine.series import Series

if TYPE_CHECKING:
    from regime_engine.reading.score import Score, Section

COST = re.compile(r"(\d+(?:\.\d+)?)\s*(bp|%)")
UNITS = {"bp": 1e-4, "%": 1e-2}
HIGHEST_COST = 0.1


def cost(text: str) -> float:
    """A share of the traded value: the type of an option."""
    found = COST.fullmatch(text.strip())
    if not found:
        raise click.BadParameter(f"{text!r} is no cost: write 10bp or 0.1%")
    share = float(found[1]) * UNITS[found[2]]
    if share > HIGHEST_COST:
        raise click.BadParameter(f"{text} of each trade is more than {HIGHEST_COST:.0%}")
    return share


def labels(text: str) -> tuple[str, ...]:
    """Labels with commas between them: the type of an option."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if not all(names):
        raise click.BadParameter(f"{text!r} names no label: write CARRY,NEUTRAL")
    return names


@click.command()
@series_options
@click.option(
    "--hold",
    type=labels,
    metavar="LABEL,…",
    help="The rule: hold the instrument on these labels.  [default: all but the most stressed]",
)
@click.option(
    "--cost",
    type=cost,
    metavar="COST",
    default="10bp",
    show_default=True,
    help="Cost of each trade of the rule, in bp or %.",
)
@stretch_options
@format_option
@click.pass_obj
def score(
    settings: Settings,
    series: Series,
    hold: tuple[str, ...] | None,
    cost: float,
    start: date | None,
    end: date | None,
    output_format: str,
) -> None:
    """Score the walk-forward labels of a region by what came after them.

    Beside them: EWM and HAR forecasts of the volatility, and no regime at all. Labels of days that
    their model was trained on are left out.

    \b
    regime score --region US
    regime score --region US --hold CARRY,NEUTRAL --cost 5bp --start 2010-01-04
    """
    from regime_engine.database import connect
    from regime_engine.reading.score import Rule
    from regime_engine.reading.score import score as score_of

    with connect(settings) as database, Phases() as phases:
        phases.begin(f"scoring the labels of {series.region}")
        found = score_of(database, series, Rule(hold, cost), start=start, end=end)
    if output_format == "json":
        click.echo(json.dumps(asdict(found), default=str, indent=2))
    elif output_format == "csv":
        print_rows(*_flat(found), "csv")
    else:
        say("\n\n".join(_paragraphs(found)))


def _flat(found: "Score") -> tuple[list[str], list[list]]:
    """A row each measure and contender."""
    headers = ["measure", "contender", "value", "low", "high"]
    headers += ["difference", "difference_low", "difference_high", "verdict"]
    rows: list[list] = []
    for each in (measure for section in found.sections for measure in section.measures):
        rows.append([each.name, "ours", each.ours, each.low, each.high, None, None, None, None])
        for name, rival in each.rivals.items():
            difference = [rival.difference, rival.low, rival.high, rival.verdict]
            rows.append([each.name, name, rival.value, None, None, *difference])
    return headers, rows


def _paragraphs(found: "Score") -> Iterator[str]:
    left_out = ", ".join(f"{count:,} {why}" for why, count in found.left_out.items())
    lines = [
        f"{found.region} ({found.instrument_id}): {found.days:,} walk-forward labels, "
        f"{found.first_date} to {found.last_date}"
    ]
    if left_out:
        lines.append(f"Left out: {left_out}")
    lines += found.notes
    lines.append(
        f"Intervals of {found.level:.0%} are by bootstrap. In parentheses: ours minus theirs, and "
        "its interval."
    )
    yield "\n".join(lines)
    for section in found.sections:
        parts = [section.title, *section.verdicts, section.about, _table(section, found.level)]
        yield "\n".join(part for part in parts if part)


def _table(section: "Section", level: float) -> str:
    from regime_engine.reading.score import table as table_of

    rows = table_of(section, level)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    headings, *cells = (
        [name, *(each.rjust(width) for each, width in zip(figures, widths[1:], strict=True))]
        for name, *figures in rows
    )
    return table(headings, cells)
