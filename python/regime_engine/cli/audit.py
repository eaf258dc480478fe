import json
import math
import sys
from collections import Counter
from typing import TYPE_CHECKING

import click

from regime_engine.cli.options import quiet_option, table_or_json_option
from regime_engine.cli.output import say, table
from regime_engine.cli.progress import Phases
from regime_engine.config import Settings

if TYPE_CHECKING:
    from regime_engine.dbt import NodeResult
    from regime_engine.engine.nightly import Finding

VERDICTS = {"pass": "PASS", "warn": "WARN", "fail": "FAIL"}


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
@table_or_json_option("for CI, is an object with `passed`, `strict` and `tests`")
@quiet_option
@click.pass_obj
def audit(
    settings: Settings, rows_shown: int, is_strict: bool, output_format: str, quiet: bool
) -> None:
    """Run the dbt audit, and print the verdict of each test, the wrong rows and SQL to see more.

    The exit code is 1 if a test failed or did not run. A warning means that something changed after
    the row was written, for example a price was restated; it fails the audit only with --strict.
    The schema audit_failures keeps all wrong rows until the next audit, in one table for each test.
    """
    from regime_engine.database import connect
    from regime_engine.engine import nightly

    with Phases(quiet) as phases, connect(settings) as database:
        results, findings = nightly.audit(database, rows_shown, phases.begin("auditing"))
    if output_format == "json":
        document = _document(results, findings, is_strict)
        click.echo(json.dumps(document, default=str, indent=2, allow_nan=False))
    else:
        for result in results:
            if result.status not in ("fail", "warn"):
                say(f"{_verdict(result)} {result.name}")
        print_verdicts(results, findings, is_strict)
    if not _passed(results, is_strict):
        sys.exit(1)


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
    return VERDICTS.get(result.status, "NOT RUN")


def _passed(results: list["NodeResult"], is_strict: bool) -> bool:
    good = {"pass"} if is_strict else {"pass", "warn"}
    return all(result.status in good for result in results)


def _document(
    results: list["NodeResult"], findings: list["Finding"], is_strict: bool
) -> dict[str, object]:
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
    return {"passed": _passed(results, is_strict), "strict": is_strict, "tests": tests}


def _jsonable(value: object) -> object:
    """JSON knows no NaN and no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
