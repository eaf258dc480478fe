"""Remove a series, or an instrument with all that rests on it, in one transaction."""

import uuid
from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql
from psycopg.types.json import Jsonb

from regime_engine import runs, seals, seeds
from regime_engine.database import Database
from regime_engine.database.statements import statement
from regime_engine.engine import vote
from regime_engine.engine.classify import Outcome
from regime_engine.errors import RegimeError
from regime_engine.prices import load
from regime_engine.series import GLOBAL, Series
from regime_engine.store.regimes import follow_removal

# Table → the file with the condition on the row `stored` that goes.
CONDITIONS = {
    "numeric_window_embeddings": "forgotten_embeddings",
    "regimes": "forgotten_regimes",
    "regime_transitions": "forgotten_series",
    "regime_models": "forgotten_series",
}
# The tables whose replaced rows are kept as revisions.
REVISED = ("numeric_window_embeddings", "regimes")
RUN: tuple[LiteralString, LiteralString] = ("run_id", "created_at")
REVISED_RUN: tuple[LiteralString, LiteralString] = (
    "(old_row ->> 'run_id')::uuid",
    "(old_row ->> 'created_at')::timestamptz",
)


@dataclass(frozen=True)
class Asked:
    """What is to be forgotten: a region, or an instrument.

    model_id, window_days: only what is of this encoder or window length; None for all. The prices
        and features of an instrument go only if neither is given.
    """

    region: str | None = None
    instrument_id: str | None = None
    model_id: str | None = None
    window_days: int | None = None

    def __str__(self) -> str:
        what = f"region {self.region}" if self.region else f"instrument {self.instrument_id}"
        model = f" by {self.model_id}" if self.model_id else ""
        return what + model + (f" with windows of {self.window_days} days" * bool(self.window_days))

    @property
    def has_prices(self) -> bool:
        """Whether the prices go too."""
        return bool(self.instrument_id) and not (self.model_id or self.window_days)


@dataclass(frozen=True)
class Plan:
    """What rests on what was asked for.

    whole: series of which every row goes; part: those that lose the regimes of the instrument
    voted: series GLOBAL that counted one of them, and are counted anew
    """

    asked: Asked
    whole: list[Series]
    part: list[Series]
    voted: list[Series]


@dataclass(frozen=True)
class _Rows:
    """Rows of a table that go.

    name: as the ledger counts them; condition: on `stored`
    run: the expressions for the run that wrote a row, and for when; None for rows of an instrument
    """

    name: str
    table: sql.Identifier
    condition: sql.Composed
    run: tuple[LiteralString, LiteralString] | None


@dataclass(frozen=True)
class Forgotten:
    """removed: name of the rows → how many; votes: the series GLOBAL that were counted anew"""

    removed: dict[str, int]
    votes: list[Outcome]


def plan(database: Database, asked: Asked) -> Plan:
    """What rests on what was asked for."""
    name = "series_of_region" if asked.region else "series_of_instrument"
    parameters = vars(asked) | {"vote": GLOBAL}
    found = database.execute(statement(__package__, name), parameters).fetchall()
    series = [(Series(*of_series), is_whole) for *of_series, is_whole in found]
    whole = [each for each, is_whole in series if is_whole]
    part = [each for each, is_whole in series if not is_whole]
    voted = [each for each in _votes_of(database, whole + part) if each not in whole]
    return Plan(asked, whole, part, voted)


def count(database: Database, planned: Plan) -> dict[str, int]:
    """How many rows would be removed: name of the rows → number, if there is one."""
    parameters = _parameters(database, planned)
    query = "select count(*) from {table} as stored where {condition}"
    counts = {
        rows.name: database.one(query, parameters, table=rows.table, condition=rows.condition)[0]
        for rows in _rows(database, planned.asked)
    }
    return {name: number for name, number in counts.items() if number}


def forget(database: Database, planned: Plan) -> Forgotten:
    """Remove what was planned as a run of the ledger, which counts what it removed.

    It waits for the runs that could write such rows, and all later runs wait for it.

    raises RegimeError if other rows rest on it by now, or if the prices are not the engine's
    """
    asked = planned.asked
    parameters = vars(asked) | {"series": [vars(each) for each in planned.whole + planned.part]}
    with (
        runs.ledger(database, "forget", parameters, _writes_such_rows(database, planned)) as run,
        # dbt reads the tables in several steps, and must not see some with the rows, some without.
        database.locked(),
    ):
        prices = load.table(database, load.PRICES)
        if asked.has_prices and load.exists(database, "to_regclass", prices):
            load.take_turns(database)
        if plan(database, asked) != planned:
            raise RegimeError(
                f"other rows rest on {asked} since you were asked: run the command again"
            )
        parameters = _parameters(database, planned)
        going = _rows(database, asked)
        run_ids = _runs_that_lose_rows(database, going, parameters)
        sealed, before = _sealed(database, run_ids), _contents(database, run_ids)
        removed = {rows.name: _remove(database, rows, parameters) for rows in going}
        if asked.has_prices:
            _require_no_prices(database, asked)
        left = {
            str(run_id): {"contents": contents, "is_as_sealed": before[run_id] == sealed[run_id]}
            for run_id, contents in _contents(database, run_ids).items()
        }
        runs.record_removed(database, run, {name: of for name, of in removed.items() if of}, left)
        for series in planned.part:
            follow_removal(database, run, series)
        called = [vote.voting(database, series) for series in planned.voted]
        votes = [vote.write(database, run, each) for each in called if each]
    totals = {name: sum(of.values()) for name, of in removed.items() if of}
    return Forgotten(totals, votes)


def require_known(database: Database, asked: Asked) -> None:
    """raises RegimeError if what was asked for is neither a region nor the instrument of one, and
    was never forgotten"""
    regions = seeds.regions(database)
    instruments = [region.instrument_id for region in regions.values()]
    if asked.region in [*regions, GLOBAL] or asked.instrument_id in instruments:
        return
    (is_forgotten,) = database.one(
        "select exists (select 1 from {regime_runs} where command = 'forget' and parameters @> %s)",
        [Jsonb({"region": asked.region, "instrument_id": asked.instrument_id})],
    )
    if is_forgotten:
        return
    if asked.region:
        raise seeds.unknown_region(asked.region, list(regions))
    raise RegimeError(
        f"nothing is stored of instrument {asked.instrument_id}: no price, feature, embedding or "
        "regime is of that name"
    )


def _rows(database: Database, asked: Asked) -> list[_Rows]:
    """What goes of each table. Regimes go after the embeddings that none may rest on."""
    found = []
    for name, file in CONDITIONS.items():
        condition = database.compose(statement(__package__, file))
        if name in REVISED:
            of_revised_row = database.compose(
                statement(__package__, "of_revised_row"),
                table_name=sql.Literal(name),
                condition=condition,
            )
            revisions = database.table("regime_revisions")
            found.append(_Rows(f"revisions of {name}", revisions, of_revised_row, REVISED_RUN))
        found.append(_Rows(name, database.table(name), condition, RUN))
    if asked.has_prices:
        of_instrument = database.compose("stored.instrument_id = %(instrument_id)s")
        tables = {"daily_features": database.table("daily_features")}
        tables |= {name: load.table(database, name) for name in (load.PRICES, load.REFUSED)}
        found += [
            _Rows(name, table, of_instrument, None)
            for name, table in tables.items()
            if load.exists(database, "to_regclass", table)
        ]
    return found


def _runs_that_lose_rows(
    database: Database, going: list[_Rows], parameters: dict[str, object]
) -> list[uuid.UUID]:
    """The sealed runs that wrote or replaced some of the rows that go."""
    found: set[uuid.UUID] = set()
    for rows in going:
        if rows.run is None:
            continue
        writers = [rows.run[0], *(["new_run_id"] if rows.run is REVISED_RUN else [])]
        for run_id in writers:
            query = "select distinct {run_id} from {table} as stored where {condition}"
            losing = database.execute(
                query,
                parameters,
                run_id=sql.SQL(run_id),
                table=rows.table,
                condition=rows.condition,
            )
            found |= {run_id for (run_id,) in losing}
    ended = database.execute(
        "select run_id from {regime_runs} where run_id = any(%s) and seal_number is not null"
        " order by seal_number",
        [list(found)],
    )
    return [run_id for (run_id,) in ended]


def _sealed(database: Database, run_ids: list[uuid.UUID]) -> dict[uuid.UUID, dict[str, str]]:
    """Run → its contents as it sealed them, or as a later `regime forget` left them."""
    rows = database.execute(statement(__package__, "sealed_contents"), {"run_ids": run_ids})
    return dict(rows.fetchall())


def _contents(database: Database, run_ids: list[uuid.UUID]) -> dict[uuid.UUID, dict[str, str]]:
    """Run → its contents as its rows are now."""
    failed = database.execute(
        "select run_id from {regime_runs} where run_id = any(%s) and status = 'FAILED'", [run_ids]
    )
    of_failed = [run_id for (run_id,) in failed]
    succeeded = [run_id for run_id in run_ids if run_id not in of_failed]
    return seals.contents(database, succeeded, runs.SEALED) | seals.contents(
        database, of_failed, runs.SEALED_OF_FAILED
    )


def _remove(database: Database, rows: _Rows, parameters: dict[str, object]) -> dict[str, int]:
    """Remove the rows; returns how many by the run that had written them, or by instrument."""
    if rows.run is None:
        query = "delete from {table} as stored where {condition}"
        done = database.execute(query, parameters, table=rows.table, condition=rows.condition)
        return {str(parameters["instrument_id"]): done.rowcount} if done.rowcount else {}
    run_id, created_at = rows.run
    counted = database.execute(
        statement(__package__, "remove_and_count"),
        parameters,
        table=rows.table,
        condition=rows.condition,
        run_id=sql.SQL(run_id),
        created_at=sql.SQL(created_at),
    )
    return dict(counted.fetchall())


def _parameters(database: Database, planned: Plan) -> dict[str, object]:
    """Those of the conditions.

    run_ids: the runs that wrote embeddings for the series
    kept_…: the windows of these instruments that other series rest on
    """
    parameters = vars(planned.asked) | _arrays(planned.whole + planned.voted)
    written = database.execute(statement(__package__, "runs_for_series"), parameters)
    parameters["run_ids"] = [run_id for (run_id,) in written]
    # Looked for first: a distributed Postgres refuses a deletion that reads another table.
    kept = database.execute(statement(__package__, "kept_windows"), parameters).fetchall()
    columns = ("kept_ids", "kept_days", "kept_model_ids", "kept_lengths")
    return parameters | {name: [row[at] for row in kept] for at, name in enumerate(columns)}


def _votes_of(database: Database, series: list[Series]) -> list[Series]:
    """The series GLOBAL in which a regime of one of these series counted."""
    rows = database.execute(statement(__package__, "votes_of_series"), _arrays(series))
    return [Series(*row) for row in rows]


def _arrays(series: list[Series]) -> dict[str, object]:
    return {
        "vote": GLOBAL,
        "regions": [each.region for each in series],
        "model_ids": [each.model_id for each in series],
        "lengths": [each.window_days for each in series],
    }


def _require_no_prices(database: Database, asked: Asked) -> None:
    """raises RegimeError if staging has prices of the instrument from another table"""
    instrument_id = str(asked.instrument_id)
    if seeds.has_prices(database, instrument_id):
        raise RegimeError(
            f"the prices of {instrument_id} come from a table of yours, not from "
            f"{load.table(database, load.PRICES).as_string()}: delete them there, and run the "
            "command again"
        )


def _writes_such_rows(database: Database, planned: Plan) -> sql.Composed:
    """The condition on the runs that may write rows of what goes: all but those of others alone."""
    series = planned.whole + planned.part
    regions = {planned.asked.region, *(each.region for each in series)} - {None}
    used = database.execute(
        "select distinct instrument_id from {regimes} where region = any(%s)", [list(regions)]
    )
    instruments = {planned.asked.instrument_id, *(each for (each,) in used)} - {None}
    return database.compose(
        statement(__package__, "may_write_such_rows"),
        regions=sql.Literal(list(regions)),
        instruments=sql.Literal(list(instruments)),
    )
