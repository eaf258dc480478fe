import json
import math
import sys

import click

from regime_engine.cli.output import table
from regime_engine.config import Settings

VERDICTS = {"pass": "PASS", "warn": "WARN", "fail": "FAIL"}
NOT_RUN = "NOT RUN"


@click.command()
@click.option(
    "--rows",
    "rows_shown",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Show this many wrong rows of a test; audit_failures keeps them all.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Output format; JSON, for CI, is an object with `passed` and `tests`.",
)
@click.pass_obj
def audit(settings: Settings, rows_shown: int, output_format: str) -> None:
    """Run the dbt audit, and print the verdict of each test, the wrong rows and SQL to see more.

    The exit code is 1 if a test failed or did not run. A warning means that something changed after
    the row was written, for example a price was restated; it does not fail the audit. The schema
    audit_failures keeps all wrong rows until the next audit, in one table for each test.
    """
    from regime_engine.database import connect
    from regime_engine.engine import nightly

    with connect(settings) as database:
        results, findings = nightly.audit(database, rows_shown)
    if output_format == "json":
        click.echo(json.dumps(_document(results, findings), default=str, indent=2, allow_nan=False))
    else:
        for result in results:
            if result.status not in ("fail", "warn"):
                click.echo(f"{VERDICTS.get(result.status, NOT_RUN)} {result.name}")
        print_verdicts(results, findings)
    if not _passed(results):
        sys.exit(1)


def print_verdicts(results, findings) -> bool:
    """Print what was found and the verdict; True where every test was run and none failed."""
    for finding in findings:
        test = finding.test
        click.echo(
            f"{VERDICTS[test.status]} {test.name}: {test.failures:,} rows. "
            f"{' '.join(test.description.split())}"
        )
        click.echo(table(finding.rows.headers, finding.rows.rows))
        if test.failures > len(finding.rows.rows):
            click.echo(f"… and {test.failures - len(finding.rows.rows):,} more")
        click.echo(f"Look further: {finding.look_further};")
        click.echo()
    count = {status: 0 for status in VERDICTS}
    for result in results:
        count[result.status] = count.get(result.status, 0) + 1
    not_run = len(results) - sum(count[status] for status in VERDICTS)
    click.echo(
        f"Audit {'passed' if _passed(results) else 'failed'}: {len(results)} tests, "
        f"{count['pass']} passed, {count['fail']} failed, {count['warn']} with warnings"
        + (f", {not_run} not run" if not_run else "")
    )
    return _passed(results)


def _passed(results) -> bool:
    return all(result.status in ("pass", "warn") for result in results)


def _document(results, findings) -> dict[str, object]:
    found = {finding.test.name: finding for finding in findings}
    tests = []
    for result in results:
        test = {
            "name": result.name,
            "verdict": VERDICTS.get(result.status, NOT_RUN),
            "description": " ".join(result.description.split()),
            "failures": result.failures,
        }
        if finding := found.get(result.name):
            rows = finding.rows
            test["rows"] = [
                dict(zip(rows.headers, map(_jsonable, row), strict=True)) for row in rows.rows
            ]
            test["look_further"] = finding.look_further
        tests.append(test)
    return {"passed": _passed(results), "tests": tests}


def _jsonable(value: object) -> object:
    """JSON knows no NaN and no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
