from pathlib import Path

import click

from regime_engine.cli.options import encoding_options, regions_option
from regime_engine.cli.output import say
from regime_engine.cli.progress import Phases
from regime_engine.config import Settings

DEFAULT_OUTPUT = Path("regime-report.html")


@click.command()
@regions_option
@encoding_options
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"The page to write.  [default: {DEFAULT_OUTPUT}]",
)
@click.option(
    "--png",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the main chart as a picture, and the page only if --output is given.",
)
@click.option(
    "--pdf",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Print the page to a PDF by an installed Chromium, and write the page only if --output is "
    "given.",
)
@click.option(
    "--benchmark",
    "benchmark_id",
    metavar="ID",
    help="Compare the rule and the labels with this instrument too.",
)
@click.option("--audit", is_flag=True, help="Run the dbt audit first, and show its result.")
@click.pass_obj
def report(
    settings: Settings,
    regions: tuple[str, ...],
    model_id: str,
    window_days: int,
    output: Path | None,
    png: Path | None,
    pdf: Path | None,
    benchmark_id: str | None,
    audit: bool,
) -> None:
    """Write one HTML file about one or all regions, to look at or to send.

    It shows the price with the regimes, probabilities, drawdown, spells, transitions, the profile
    of the labels, a forecast, analogues, the model, the audit and the runs. A report of many
    regions begins with an overview. The file loads nothing from the network. An existing file is
    replaced only when the new one is complete.

    \b
    regime report
    regime report --region US --png us.png
    regime report --region US --pdf us.pdf
    """
    from regime_engine.database import connect
    from regime_engine.report import contents, page
    from regime_engine.report.pdf import chromium
    from regime_engine.report.pdf import pdf as printed
    from regime_engine.report.regions import read
    from regime_engine.report.sections import section

    if not (output or png or pdf):
        output = DEFAULT_OUTPUT
    paths = [path for path in (output, png, pdf) if path]
    if len({path.resolve() for path in paths}) < len(paths):
        raise click.UsageError("two of --output, --png and --pdf name the same file")
    for path in paths:
        page.require_writable(path)
    program = chromium(settings) if pdf else ""
    with connect(settings) as database, Phases() as phases:
        phases.begin("auditing" if audit else "reading the regimes")
        audited = contents.audit(database) if audit else None
        stored = read(
            database,
            regions,
            model_id=model_id,
            window_days=window_days,
            make=section,
            audited=audited,
            benchmark_id=benchmark_id,
            most=page.MOST_PICTURED if png else None,
            progress=phases.begin("reading the regions"),
        )
        # All files are made before any is written.
        phases.begin("writing the report")
        files = {}
        if output:
            files[output] = page.html(stored, settings).encode()
        if png:
            files[png] = page.png(stored)
        if pdf:
            files[pdf] = printed(page.html(stored, settings, paper="A4"), program)
        for path, content in files.items():
            page.write(path, content)
    names = [each.row.region for each in stored.regions]
    are_few = stored.shared.are_few
    for path in files:
        say(f"{path}: {', '.join(names) if are_few else f'{len(names):,} regions'}")
    if pdf and not are_few:
        say(
            f"{pdf} has the overview of the regions. For their pages, choose up to {contents.FEW} "
            "with --region.",
            err=True,
        )
