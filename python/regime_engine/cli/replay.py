"""The options of `regime audit --replay`, and what it says of a replay."""

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from regime_engine.cli.options import Command, day_option
from regime_engine.cli.output import say, table
from regime_engine.cli.progress import Phases

if TYPE_CHECKING:
    from regime_engine.database import Database
    from regime_engine.engine.comparison import Comparison, Difference
    from regime_engine.engine.replay import Request

# Verdict → what is wrong with the rows, and what to do.
MEANINGS = {
    "differs": "they are not what follows from the prices and the stored models.",
    "restated": "their prices changed after they were written, so they cannot be computed again. "
    "`regime backfill` writes regimes of the prices of today, `regime fit` models.",
    "outdated": "what they rest on was replaced after they were written. `regime backfill` writes "
    "regimes by the models of today, `regime global` the vote of the regimes of today.",
}
# A number that differs by less can come from another processor or another numpy.
ROUNDING = 1e-6


def replay_options(command: Command) -> Command:
    """--replay, --region, --since and --fits; the last three go with the first alone."""
    options: tuple[Callable[[Command], Command], ...] = (
        click.option(
            "--replay",
            "is_replayed",
            is_flag=True,
            help="Also compute embeddings, regimes, transitions and votes anew from the stored "
            "prices, compare them byte for byte with what is stored, and name each row that "
            "differs. Nothing is written.",
        ),
        click.option(
            "--region",
            "regions",
            multiple=True,
            help="With --replay: only this region; repeatable.  [default: all]",
        ),
        day_option("--since", "With --replay: only rows of this date or later ones."),
        click.option(
            "--fits",
            "is_fitted",
            is_flag=True,
            help="With --replay: fit the models anew too. It takes as long as the fits took.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def request(
    is_replayed: bool, regions: tuple[str, ...], since: date | None, is_fitted: bool
) -> "Request | None":
    """What is to be replayed, None for nothing; raises UsageError without --replay"""
    from regime_engine.engine.replay import Request

    if is_replayed:
        return Request(regions, since, is_fitted)
    if regions or since or is_fitted:
        raise click.UsageError("--region, --since and --fits go with --replay")
    return None


def require_known_regions(database: "Database", asked: "Request") -> None:
    """raises RegimeError before the audit takes its time"""
    from regime_engine.engine import replay

    replay.instruments(database, asked.regions)


def replayed(
    database: "Database", asked: "Request", rows_shown: int, phases: Phases
) -> "Comparison":
    from regime_engine.engine import replay

    progress = phases.begin("replaying")
    with replay.snapshot(database):
        return replay.replay(database, asked, rows_shown, progress)


def print_replay(compared: "Comparison", is_strict: bool) -> None:
    """Print what differs, by verdict and table, and whether the replay passed."""
    from regime_engine.engine.comparison import Verdict

    for (verdict, name), count in sorted(compared.counts.items()):
        say(f"{verdict.upper()} {name}: {count:,} rows; {MEANINGS[verdict]}")
        shown = compared.shown[verdict, name]
        if shown:
            say(table([*shown[0].key, "column", "stored", "computed", "note"], _lines(shown)))
        if count > len(shown):
            say(f"… and {count - len(shown):,} more: --rows {count} shows them all")
        say()
    if 0 < compared.largest < ROUNDING:
        say(
            f"No number differs by more than {compared.largest:.1e} of its size. Another processor "
            "or another release of numpy can cause that: replay on the machine that wrote the rows."
        )
    rows = ", ".join(f"{count:,} in {name}" for name, count in compared.rows.items())
    counts = ", ".join(f"{compared.count(verdict):,} {verdict}" for verdict in Verdict)
    say(
        f"Replay {'passed' if compared.has_passed(is_strict) else 'failed'}: rows computed anew: "
        f"{rows or 'none'}; {counts}"
    )


def document(
    compared: "Comparison", is_strict: bool, jsonable: Callable[[object], object]
) -> dict[str, Any]:
    """For --format json."""
    findings = [
        {
            "verdict": verdict,
            "table": name,
            "count": count,
            "rows": [
                {
                    "key": each.key,
                    "changes": [
                        {name: jsonable(value) for name, value in vars(change).items()}
                        for change in each.changes
                    ],
                    "note": each.note,
                }
                for each in compared.shown[verdict, name]
            ],
        }
        for (verdict, name), count in sorted(compared.counts.items())
    ]
    return {
        "passed": compared.has_passed(is_strict),
        "rows": dict(compared.rows),
        "findings": findings,
    }


def _lines(differences: list["Difference"]) -> list[tuple[object, ...]]:
    return [
        (*difference.key.values(), change.column, change.stored, change.computed, difference.note)
        for difference in differences
        for change in difference.changes
    ]
