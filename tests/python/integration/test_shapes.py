"""Shapes of statements that a Citus refuses, and what it runs instead.

test_citus.py sends each to a real one. test_docs.py looks for them among what the commands send.
"""

from dataclasses import dataclass

import pytest
from servers import MODULE_DATABASE
from shapes import Rules

from regime_engine.database import connect

pytestmark = pytest.mark.one_server


INCOMING = "create temporary table incoming (like {numeric_window_embeddings})"


@pytest.fixture(scope="module")
def rules(server, features_template):
    with (
        server.database(MODULE_DATABASE, features_template) as settings,
        connect(settings) as database,
    ):
        database.execute(INCOMING)
        yield Rules(database)


@dataclass(frozen=True)
class Shape:
    """A statement that a Citus refused, and one that it ran instead."""

    rule: str
    refused: str
    runs: str


SHAPES = [
    Shape(
        "subquery in INSERT … VALUES",
        """
        insert into runtime.regimes (region, run_id)
        values ('US', (select run_id from runtime.regime_runs limit 1))
        """,
        "insert into runtime.regimes (region, run_id) values ('US', $1)",
    ),
    Shape(
        "STABLE function of a column in UPDATE or DELETE",
        """
        update runtime.regime_runs
        set row_hash = encode(sha256(convert_to(jsonb_build_array(status)::text, 'UTF8')), 'hex')
        where run_id = $1
        """,
        """
        with signed as materialized (
            select
                run_id,
                encode(sha256(convert_to(jsonb_build_array(status)::text, 'UTF8')), 'hex') as hash
            from runtime.regime_runs
            where run_id = $1
        )
        update runtime.regime_runs as stored
        set row_hash = signed.hash
        from signed
        where stored.run_id = signed.run_id
        """,
    ),
    Shape(
        "STABLE function of a column in UPDATE or DELETE",
        "delete from runtime.regimes where (metadata ->> 'day')::date = date '2020-01-02'",
        "delete from runtime.regimes where as_of_date = $1",
    ),
    Shape(
        "STABLE function of a column in UPDATE or DELETE",
        "delete from runtime.regimes where created_at::date = date '2020-01-02'",
        "delete from runtime.regimes where created_at < now()",
    ),
    Shape(
        "VOLATILE function in UPDATE or DELETE",
        "update runtime.regime_runs set finished_at = clock_timestamp() where run_id = $1",
        "update runtime.regime_runs set finished_at = now() where run_id = $1",
    ),
    Shape(
        "WITH RECURSIVE of a distributed table",
        """
        with recursive each (name) as (
            select min(instrument_id) from features.daily_features
            union all
            select (select min(instrument_id) from features.daily_features where instrument_id > name)
            from each
            where name is not null
        )
        select name from each
        """,
        "select distinct instrument_id from features.daily_features",
    ),
    Shape(
        "subquery of a distributed table for each row of another",
        """
        select
            asked.name,
            (select max(trade_date) from features.daily_features where instrument_id = asked.name)
        from unnest($1::text[]) as asked (name)
        """,
        """
        select instrument_id, max(trade_date)
        from features.daily_features
        where instrument_id = any($1)
        group by instrument_id
        """,
    ),
    Shape(
        "subquery of a distributed table for each row of another",
        """
        select asked.name, stored.days
        from unnest($1::text[]) as asked (name)
        cross join lateral (
            select count(*) as days
            from historical.numeric_window_embeddings
            where entity_id = asked.name
        ) as stored
        """,
        """
        select regions.region, stored.days
        from runtime.regions
        cross join lateral (
            select count(*) as days
            from historical.numeric_window_embeddings
            where entity_id = $1 and as_of_date > regions.region::date
        ) as stored
        """,
    ),
    Shape(
        "subquery of a distributed table for each row of another",
        """
        select region
        from runtime.regions
        where exists (
            select from features.daily_features
            where daily_features.instrument_id = regions.instrument_id
        )
        """,
        """
        select region
        from runtime.regions
        inner join features.daily_features using (instrument_id)
        """,
    ),
    Shape(
        "subquery of a distributed table for each row of another",
        """
        select name, day
        from (values ('GSPC.INDX'), ('IXIC.INDX')) as asked (name)
        cross join lateral (
            select max(trade_date) as day from features.daily_features where instrument_id = name
        ) as last
        """,
        """
        select features.instrument_id
        from features.daily_features as features
        where exists (
            select from historical.prices_daily as prices
            where prices.instrument_id = features.instrument_id
        )
        """,
    ),
    Shape(
        "subquery of a distributed table for each row of another",
        """
        with asked as materialized (
            select distinct instrument_id as name from features.daily_features
        )
        select name
        from asked
        where not exists (
            select from historical.numeric_window_embeddings where entity_id = asked.name
        )
        """,
        """
        with asked as (select distinct instrument_id as name from features.daily_features)
        select name
        from asked
        where not exists (
            select from historical.numeric_window_embeddings where entity_id = asked.name
        )
        """,
    ),
    Shape(
        "function that is not IMMUTABLE in RETURNING",
        "delete from runtime.regimes as stored where region = $1 returning to_jsonb(stored)",
        """
        with removed as (delete from runtime.regimes as stored where region = $1 returning stored.*)
        select to_jsonb(removed) from removed
        """,
    ),
    Shape(
        "subquery of a distributed table for each row of another",
        """
        insert into historical.numeric_window_embeddings
        select incoming.*
        from incoming
        where not exists (
            select from historical.numeric_window_embeddings as stored
            where stored.entity_id = incoming.entity_id
        )
        """,
        """
        insert into historical.numeric_window_embeddings
        select * from incoming
        on conflict do nothing
        """,
    ),
    Shape(
        "subquery of a table of one node for each row of a distributed table",
        """
        select entity_id
        from historical.numeric_window_embeddings as stored
        where not exists (select from incoming where incoming.entity_id = stored.entity_id)
        """,
        """
        select stored.entity_id
        from historical.numeric_window_embeddings as stored
        inner join incoming using (entity_type, entity_id, as_of_date, model_id, window_days)
        """,
    ),
    Shape(
        "UPDATE or DELETE that reads a table of one node",
        """
        delete from runtime.regime_transitions as stored
        where region = $1
            and not exists (select from incoming where incoming.as_of_date = stored.as_of_date)
        """,
        "delete from runtime.regime_transitions where region = $1 and as_of_date = any($2)",
    ),
    Shape(
        "UPDATE or DELETE that reads a table of one node",
        """
        delete from runtime.regime_transitions as stored
        using incoming
        where incoming.entity_id = stored.region
        """,
        """
        delete from runtime.regime_transitions
        using runtime.regions
        where regime_transitions.region = regions.region and regions.instrument_id = $1
        """,
    ),
    Shape(
        "UPDATE or DELETE that reads a distributed table",
        """
        update runtime.regions as stored
        set description = embeddings.model_id
        from historical.numeric_window_embeddings as embeddings
        where embeddings.entity_id = stored.instrument_id
        """,
        """
        update historical.numeric_window_embeddings as stored
        set model_id = regions.region
        from runtime.regions
        where regions.instrument_id = stored.entity_id
        """,
    ),
    Shape(
        "function that is not IMMUTABLE in ON CONFLICT",
        """
        insert into runtime.regions (region, instrument_id)
        values ($1, $2)
        on conflict (region) do update set description = to_char(now(), $3)
        """,
        """
        insert into runtime.regions (region, instrument_id)
        values ($1, $2)
        on conflict (region) do update set description = excluded.description
        """,
    ),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.rule)
def test_a_rule_tells_a_refused_statement_from_the_one_that_runs(rules, shape):
    assert rules.broken(shape.refused) == {shape.rule}
    assert rules.broken(shape.runs) == set()
