import sys

import click

from regime_engine.cli.audit import print_verdicts
from regime_engine.cli.options import encoding_options, regions_option
from regime_engine.cli.output import last_regime, rows_written, say
from regime_engine.cli.progress import windows_progress
from regime_engine.config import Settings


@click.command()
@regions_option
@encoding_options
@click.option(
    "--walk-forward",
    is_flag=True,
    help="First fit and store the versions that `regime fit --walk-forward` would; it does not fit "
    "a stored version again.",
)
@click.pass_obj
def pipeline(
    settings: Settings,
    regions: tuple[str, ...],
    model_id: str,
    window_days: int,
    walk_forward: bool,
) -> None:
    """Build the features, classify every region, let the regions vote, and run the dbt audit.

    This is the nightly job. It classifies the whole history of each region, from its first stored
    regime or walk-forward version to its last day with a price, so that it also follows restated
    prices. Rows that are equal stay as they are. If a region cannot be classified, the others
    continue. The exit code is 1 if a region could not be classified or a test failed.
    """
    from regime_engine.database import connect
    from regime_engine.engine import nightly
    from regime_engine.engine.fit import WalkForward
    from regime_engine.errors import RegimeError
    from regime_engine.series import GLOBAL

    with connect(settings) as database:
        for warning in nightly.build_features(database):
            say(f"warning: {warning.name}: {warning.message}", err=True)
        outcomes, errors = nightly.classify_regions(
            database,
            model_id,
            window_days,
            progress=windows_progress,
            only=regions,
            schedule=WalkForward() if walk_forward else None,
        )
        try:
            if voted := nightly.vote_if_wanted(database, model_id, window_days):
                outcomes.append(voted)
        except RegimeError as error:
            errors[GLOBAL] = error
        for outcome in outcomes:
            say(f"{last_regime(outcome)} ({rows_written(outcome.written)})")
        for region, reason in errors.items():
            say(f"Error: {region}: {reason}", err=True)
        passed = print_verdicts(*nightly.audit(database))
    if errors or not passed:
        sys.exit(1)
