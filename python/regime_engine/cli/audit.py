import json
import math
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, TextIO

import click

from regime_engine.cli import replay
from regime_engine.cli.options import quiet_option, table_or_json_option
from regime_engine.cli.output import print_rows, say, table
from regime_engine.cli.progress import Phases
from regime_engine.cli.replay import replay_options
from regime_engine.config import Settings
from regime_engine.errors import RegimeError

if TYPE_CHECKING:
    from regime_engine.dbt import NodeResult
    from regime_engine.engine.nightly import Finding
    from regime_engine.seals import Verdict


@click.command()
@click.option(
    "--rows",
    "rows_shown",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Show at most this many wrong rows of a test; audit_failures keeps all of them.",
)
@click.option("--strict", "is_strict", is_flag=True, help="Fail on a warning too.")
@click.option(
    "--history",
    "shows_history",
    is_flag=True,
    help="Run nothing; show what the last audit said of each test, and since when it has said so.",
)
@table_or_json_option(
    "for CI, is an object with `passed`, `strict` and `tests`, with --seal `seals`, with --replay "
    "`replay`"
)
@click.option(
    "--seal",
    "seal_file",
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="Also compare the seals in this file, as `regime seal` printed them, with the ledger. The "
    "file may hold other text too; - is stdin.",
)
@replay_options
@quiet_option
@click.pass_obj
def audit(
    settings: Settings,
    rows_shown: int,
    is_strict: bool,
    output_format: str,
    seal_file: TextIO | None,
    shows_history: bool,
    quiet: bool,
    **replay_asked: Any,
) -> None:
    """Run the dbt audit, and print the verdict of each test, the wrong rows and SQL to see more.

    The exit code is 1 if a test failed or did not run. A warning means that something changed after
    the row was written, for example a price was restated; it does not fail the audit. The schema
    audit_failures keeps all wrong rows until the next audit, in one table for each test.
    """
    from regime_engine.database import connect
    from regime_engine.engine import nightly

    if shows_history:
        if is_strict or seal_file or any(replay_asked.values()):
            raise click.UsageError("--history runs no audit: only --format goes with it")
        _print_history(settings, output_format)
        return
    asked = replay.request(**replay_asked)
    kept = _kept_seals(seal_file) if seal_file else {}
    with Phases(quiet) as phases, connect(settings) as database:
        if asked:
            replay.require_known_regions(database, asked)
        results, findings = nightly.audit(database, rows_shown, phases.begin("auditing"))
        verdicts = nightly.verify_seals(database, kept, results)
        compared = replay.replayed(database, asked, rows_shown, phases) if asked else None
    has_passed = (
        _passed(results, is_strict)
        and not any(verdict.fault for verdict in verdicts)
        and (compared is None or compared.has_passed(is_strict))
    )
    if output_format == "json":
        document: dict[str, object] = {
            "passed": has_passed,
            "strict": is_strict,
            "tests": _tests(results, findings),
        }
        if verdicts:
            document["seals"] = [vars(verdict) for verdict in verdicts]
        if compared:
            document["replay"] = replay.document(compared, is_strict, _jsonable)
        click.echo(json.dumps(document, default=str, indent=2, allow_nan=False))
    else:
        for result in results:
            if result.status not in ("fail", "warn"):
                say(f"{_verdict(result)} {result.name}")
        print_verdicts(results, findings, is_strict)
        for verdict in verdicts:
            _print_seal(verdict)
        if compared:
            replay.print_replay(compared, is_strict)
    if not has_passed:
        sys.exit(1)


def _print_history(settings: Settings, output_format: str) -> None:
    from regime_engine.database import connect
    from regime_engine.reading import verdicts

    with connect(settings) as database:
        found = verdicts.history(database)
    if not found.rows and output_format == "table":
        say("No audit has been recorded yet: run `regime audit`.")
        return
    print_rows(found.headers, found.rows, output_format)


def _kept_seals(file: TextIO) -> dict[int, str]:
    """raises RegimeError if the file is not a text, or has no seal"""
    from regime_engine import seals

    try:
        return seals.read(file.read(), file.name)
    except UnicodeDecodeError as error:
        raise RegimeError(f"{file.name} is not a text in UTF-8: is it a file of seals?") from error


def _print_seal(verdict: "Verdict") -> None:
    if verdict.fault:
        say(f"Seal {verdict.seal_number} does not hold: {verdict.fault}")
    else:
        say(
            f"Seal {verdict.seal_number} holds: everything up to its run is as it was when it was "
            "printed"
        )


def print_verdicts(
    results: list["NodeResult"], findings: list["Finding"], is_strict: bool = False
) -> bool:
    """Print what was found and the verdict; True if every test was run and none failed.

    is_strict: a warning fails the audit too
    """
    for finding in findings:
        test, rows = finding.test, finding.rows.rows
        description = " ".join(test.description.split())
        say(f"{_verdict(test)} {test.name}: {test.failures:,} rows. {description}")
        say(table(finding.rows.headers, rows))
        if test.failures > len(rows):
            say(f"… and {test.failures - len(rows):,} more")
        say(f"Look further: {finding.look_further};\n")
    count = Counter(map(_verdict, results))
    say(
        f"Audit {'passed' if _passed(results, is_strict) else 'failed'}: {len(results)} tests, "
        f"{count['PASS']} passed, {count['FAIL']} failed, {count['WARN']} with warnings"
        + (f", {count['NOT RUN']} not run" if count["NOT RUN"] else "")
        + (" (with --strict a warning fails too)" if is_strict and count["WARN"] else "")
    )
    return _passed(results, is_strict)


def _verdict(result: "NodeResult") -> str:
    from regime_engine.engine.failures import VERDICTS

    return VERDICTS.get(result.status, "NOT RUN")


def _passed(results: list["NodeResult"], is_strict: bool) -> bool:
    good = {"pass"} if is_strict else {"pass", "warn"}
    return all(result.status in good for result in results)


def _tests(results: list["NodeResult"], findings: list["Finding"]) -> list[dict[str, object]]:
    found = {finding.test.name: finding for finding in findings}
    tests: list[dict[str, object]] = []
    for result in results:
        test: dict[str, object] = {
            "name": result.name,
            "verdict": _verdict(result),
            "description": " ".join(result.description.split()),
            "failures": result.failures,
        }
        if finding := found.get(result.name):
            headers, rows = finding.rows.headers, finding.rows.rows
            test["rows"] = [dict(zip(headers, map(_jsonable, row), strict=True)) for row in rows]
            test["look_further"] = finding.look_further
        tests.append(test)
    return tests


def _jsonable(value: object) -> object:
    """JSON knows no NaN and no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
