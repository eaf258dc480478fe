import sys

import click

from regime_engine.cli.output import table
from regime_engine.config import Settings


@click.command()
@click.pass_obj
def audit(settings: Settings) -> None:
    """Run the dbt audit; print each test that did not pass with its offending rows.

    Exit code 1 if a test failed; a warning (the world changed, say a restated price) is shown and
    does not fail.
    """
    from regime_engine import phases
    from regime_engine.database import connect

    with connect(settings) as connection:
        results, findings = phases.audit(settings, connection)
    if not report(results, findings):
        sys.exit(1)


def report(results, findings) -> bool:
    """Print the verdict; True where no test failed."""
    for finding in findings:
        test = finding.test
        verdict = "FAIL" if test.status == "fail" else "WARN"
        click.echo(
            f"{verdict} {test.name}: {test.failures:,} rows. {' '.join(test.description.split())}"
        )
        click.echo(table(finding.rows.headers, finding.rows.rows))
        if test.failures > len(finding.rows.rows):
            click.echo(f"… and {test.failures - len(finding.rows.rows):,} more")
        click.echo()
    tests = [result for result in results if result.resource_type == "test"]
    failed = sum(result.status == "fail" for result in tests)
    warned = sum(result.status == "warn" for result in tests)
    verdict = "failed" if failed else "passed"
    click.echo(
        f"Audit {verdict}: {len(tests)} tests, {len(tests) - failed - warned} passed, "
        f"{failed} failed, {warned} with warnings"
    )
    return not failed
