import sys
from typing import TYPE_CHECKING

import click

from regime_engine.cli.audit import print_verdicts
from regime_engine.cli.notify import telling
from regime_engine.cli.options import (
    encoding_options,
    quiet_option,
    regions_option,
    train_option,
    train_years,
)
from regime_engine.cli.output import last_regime, rows_written, say
from regime_engine.cli.progress import Phases
from regime_engine.config import Settings

if TYPE_CHECKING:
    from regime_engine.database import Database
    from regime_engine.dbt import NodeResult
    from regime_engine.engine.classify import Outcome
    from regime_engine.errors import RegimeError
    from regime_engine.reading.changes import Change


@click.command()
@regions_option
@encoding_options
@click.option(
    "--walk-forward",
    is_flag=True,
    help="First fit and store the versions that `regime fit --walk-forward` would; it does not fit "
    "a stored version again.",
)
@train_option
@click.option(
    "--notify",
    "is_notifying",
    is_flag=True,
    help="Afterwards do what `regime notify` does, also if the job fails. Whether people could be "
    "told does not change the exit code.",
)
@quiet_option
@click.pass_obj
def pipeline(
    settings: Settings,
    regions: tuple[str, ...],
    model_id: str,
    window_days: int,
    walk_forward: bool,
    train: int | str | None,
    is_notifying: bool,
    quiet: bool,
) -> None:
    """Build the features, classify every region, let the regions vote, and run the dbt audit.

    This is the nightly job. It classifies the whole history of each region, from its first stored
    regime or walk-forward version to its last day with a price, so that it also follows restated
    prices. Rows that are equal stay as they are. If a region cannot be classified, the others
    continue. The last lines say what changed its label, what is stale, what rests on suspicious
    prices, what the audit found, and what to do. The exit code is 1 if a region could not be
    classified or a test failed.
    """
    if train and not walk_forward:
        raise click.UsageError("--train goes with --walk-forward")
    from regime_engine.database import connect
    from regime_engine.engine import nightly
    from regime_engine.engine.fit import WalkForward
    from regime_engine.errors import RegimeError
    from regime_engine.reading import changes
    from regime_engine.series import GLOBAL, Series

    with (
        Phases(quiet) as phases,
        connect(settings) as database,
        telling(database, phases, is_notifying),
    ):
        refused = nightly.build_features(database, phases.begin("building the features"))
        phases.end()
        for warning in refused:
            say(f"warning: {nightly.in_words(database, warning)}", err=True)
        chosen = list(dict.fromkeys(regions))
        if not chosen:
            chosen, without = nightly.regions_with_prices(database)
            for region, instrument_id in without.items():
                say(f"{region}: no prices of {instrument_id}; not classified", err=True)
        all_series = [Series(region, model_id, window_days) for region in (*chosen, GLOBAL)]
        before = changes.last_labels(database, all_series)
        warnings: list[str] = []
        outcomes, errors = nightly.classify_regions(
            database,
            model_id,
            window_days,
            progress=phases.begin,
            regions=chosen,
            schedule=WalkForward(train_years=train_years(train)) if walk_forward else None,
            warn=warnings.append,
        )
        phases.end()
        for line in warnings:
            say(f"warning: {line}", err=True)
        try:
            if voted := nightly.vote_if_wanted(database, model_id, window_days):
                outcomes.append(voted)
        except RegimeError as error:
            errors[GLOBAL] = error
        for outcome in outcomes:
            say(f"{last_regime(outcome)} ({rows_written(outcome.written)})")
        for region, reason in errors.items():
            say(f"Error: {region}: {reason}", err=True)
        audited = nightly.audit(database, progress=phases.begin("auditing"))
        phases.end()
        passed = print_verdicts(*audited)
        results, _ = audited
        changed = changes.changes(database, all_series, before)
        summary = _summary(database, outcomes, errors, changed, results)
    say()
    for line in summary:
        say(line)
    if errors or not passed:
        sys.exit(1)


def _summary(
    database: "Database",
    outcomes: "list[Outcome]",
    errors: "dict[str, RegimeError]",
    changed: "list[Change]",
    results: "list[NodeResult]",
) -> list[str]:
    from regime_engine.cli.summary import Night, lines
    from regime_engine.errors import RegimeError
    from regime_engine.reading import tables, verdicts
    from regime_engine.reading.suspicions import suspicions
    from regime_engine.reading.verdicts import VerdictHistory

    asked = {outcome.series.region for outcome in outcomes} | errors.keys()
    overview = tables.region_overview(database).records(dict)
    failing_since, found = {}, None
    try:
        failing_since = {
            each.test_name: each.verdict_since
            for each in verdicts.history(database).records(VerdictHistory)
            if each.verdict == "FAIL"
        }
        found = suspicions(database, [outcome.series for outcome in outcomes])
    except RegimeError as error:
        say(f"warning: suspicious prices are not known: {error}", err=True)
    return lines(
        Night(
            changes=changed,
            stale={
                each["region"]: each["last_price"]
                for each in overview
                if each["is_stale"] and each["region"] in asked
            },
            suspicions=found,
            errors=errors,
            audit=results,
            failing_since=failing_since,
        )
    )
