"""How fast a whole market is embedded on a Citus cluster, by the number of its worker nodes.

    .venv/bin/python benchmarks/distributed.py URL [--nodes 0 --nodes 1 --nodes 2]

The URL names a database of the coordinator, whose superuser may connect to every node without a
password. The nodes are those of that database's `pg_dist_node`. Each measurement has a database of
its own on the coordinator and on the first nodes; 0 nodes is the coordinator as a plain Postgres.
"""

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import click
import psycopg
from market import MODEL_ID, WINDOW_DAYS, build_features, last_day, make_market, one_day_more
from psycopg import sql
from psycopg.conninfo import make_conninfo
from scratch import command, dbt_command, describe, forget_environment

from regime_engine.config import Settings
from regime_engine.database import connect

LARGE_TABLES = (
    "historical.prices_daily",
    "features.daily_features",
    "historical.numeric_window_embeddings",
)


@click.command()
@click.argument("url")
@click.option(
    "--nodes", default=[0, 1, 2], show_default=True, multiple=True, type=click.IntRange(0)
)
@click.option("--instruments", default=2000, show_default=True, type=click.IntRange(2))
@click.option("--days", default=1260, show_default=True, type=click.IntRange(400))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1))
def main(url: str, nodes: list[int], instruments: int, days: int, workers: int) -> None:
    """Measure `regime embed --all` on clusters of several sizes, and print one table."""
    forget_environment()
    n_windows = instruments * (days - WINDOW_DAYS + 1)
    rows = []
    for n_nodes in nodes:
        with cluster_database(url, n_nodes) as settings:
            environment = describe(settings)
            measured = {}
            for name, value in measure(settings, instruments, days, workers):
                measured[name] = value
                click.echo(f"{n_nodes} nodes, {name}: {value:,.1f}", err=True)
            rows.append((n_nodes, measured))
    click.echo(environment)
    click.echo(
        f"{instruments:,} instruments x {days:,} days, {n_windows:,} windows by {MODEL_ID}, "
        f"--workers {workers}\n"
    )
    click.echo(f"{'worker nodes':<36}" + "".join(f"{n_nodes:>12}" for n_nodes, _ in rows))
    for name in rows[0][1]:
        click.echo(f"{name:<36}" + "".join(f"{measured[name]:>12,.1f}" for _, measured in rows))
    rates = [n_windows / measured["embed, s"] for _, measured in rows]
    click.echo(f"{'embed, windows/s':<36}" + "".join(f"{rate:>12,.0f}" for rate in rates))


def measure(
    settings: Settings, instruments: int, days: int, workers: int
) -> Iterator[tuple[str, float]]:
    """(name, seconds or bytes a row) of each measurement."""
    make_market(settings, instruments, days)
    build_features(settings, "features")
    dbt_command(settings, "run-operation", "distribute_tables")
    embed = ("embed", "--all", "--workers", str(workers), "--end", last_day(settings))
    yield "embed, s", command(settings, *embed)
    yield "embed again, s", command(settings, *embed)
    day = one_day_more(settings, days)
    yield "features, one new day, s", build_features(settings, "daily_features")
    yield "embed, one new day, s", command(settings, "embed", "--all", "--as-of", day)
    with connect(settings) as database:
        size = "pg_total_relation_size"
        if database.one("select to_regproc('citus_total_relation_size') is not null") == (True,):
            size = "citus_total_relation_size"
        for table in LARGE_TABLES:
            query = sql.SQL("select {size}({name}::regclass), (select count(*) from {table})")
            n_bytes, n_rows = database.execute(
                query.format(
                    size=sql.Identifier(size),
                    name=sql.Literal(table),
                    table=sql.Identifier(*table.split(".")),
                )
            ).fetchone()
            yield f"{table.split('.')[1]}, bytes a row", n_bytes / n_rows


@contextlib.contextmanager
def cluster_database(url: str, n_nodes: int) -> Iterator[Settings]:
    """A database of its own on the coordinator and on the first nodes, and its settings."""
    name = f"regime_benchmark_{uuid.uuid4().hex[:8]}"
    (host, port), *others = nodes_of(url)
    if len(others) < n_nodes:
        raise click.UsageError(f"--nodes {n_nodes}: the cluster has {len(others)} worker nodes")
    members = [(host, port), *others[:n_nodes]]
    addresses = [make_conninfo(url, host=host, port=port) for host, port in members]
    identifier = sql.Identifier(name)
    state = Path(tempfile.mkdtemp(prefix="regime-benchmark-"))
    try:
        for address in addresses:
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute(sql.SQL("create database {}").format(identifier))
            if n_nodes:
                with psycopg.connect(make_conninfo(address, dbname=name)) as connection:
                    connection.execute("create extension citus")
        of_coordinator = make_conninfo(addresses[0], dbname=name)
        if n_nodes:
            with psycopg.connect(of_coordinator, autocommit=True) as connection:
                connection.execute("select citus_set_coordinator_host(%s, %s)", members[0])
                for member in members[1:]:
                    connection.execute("select citus_add_node(%s, %s)", member)
        yield Settings(database_url=of_coordinator, state_directory=state)
    finally:
        shutil.rmtree(state)
        for address in addresses:
            with psycopg.connect(address, autocommit=True) as connection:
                drop = sql.SQL("drop database if exists {} with (force)").format(identifier)
                connection.execute(drop)


def nodes_of(url: str) -> list[tuple[str, int]]:
    """Host and port of the coordinator and of the worker nodes, as the cluster knows them."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select nodename, nodeport from pg_dist_node order by groupid <> 0, nodename, nodeport"
        ).fetchall()


if __name__ == "__main__":
    main()
