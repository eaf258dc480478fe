"""An index of embeddings by nearness: pgvector's, over an expression of the stored bytes.

It is one list (ivfflat with lists = 1), which a search reads whole: no neighbour is missed, as a
graph or a choice of lists would miss some, and yet only a quarter of the bytes are read, since it
holds the first three quarters of the numbers in half precision. Postgres keeps it with every row
that is written. Its distances are bounds from below, but for the rounding; who asks measures again.
"""

from psycopg import sql

from regime_engine import encoders
from regime_engine.database import Database
from regime_engine.errors import RegimeError
from regime_engine.store.embeddings import EMBEDDINGS

# The first with half precision.
PGVECTOR = (0, 7)


def create(database: Database, model_id: str, window_days: int) -> str:
    """Create the index where it is not there yet; returns its name.

    raises RegimeError where the encoder is not scale-free or pgvector cannot be had
    """
    encoder = encoders.get(model_id, window_days)
    if not encoder.SCALE_FREE:
        raise RegimeError(
            f"{model_id} embeds raw volumes, which are too large for half precision: use a "
            f"scale-free encoder, such as {encoders.DEFAULT.MODEL_ID}"
        )
    name = _name(model_id, window_days)
    dimension = encoder.dimension(window_days)
    with database.locked():
        schema = _extension(database)
        database.execute(
            """
            create index if not exists {name} on {numeric_window_embeddings}
            using ivfflat (({numbers}) {schema}.halfvec_l2_ops) with (lists = 1)
            where {condition}
            """,
            name=sql.Identifier(name),
            numbers=numbers(database, schema, dimension),
            schema=sql.Identifier(schema),
            condition=condition(model_id, window_days, dimension),
        )
    return name


def drop(database: Database, model_id: str, window_days: int) -> str:
    """Drop the index if it is there; returns its name."""
    name = _name(model_id, window_days)
    schema, _ = database.settings.table(EMBEDDINGS.name)
    database.execute("drop index if exists {index}", index=sql.Identifier(schema, name))
    return name


def extension_of(database: Database, model_id: str, window_days: int) -> str | None:
    """The schema of pgvector, where the index is there and complete."""
    schema, _ = database.settings.table(EMBEDDINGS.name)
    found = database.first(
        """
        select extension_schema.nspname
        from pg_index
        inner join pg_class on pg_class.oid = pg_index.indexrelid
        inner join pg_namespace on pg_namespace.oid = pg_class.relnamespace
        inner join pg_extension on pg_extension.extname = 'vector'
        inner join pg_namespace as extension_schema
            on extension_schema.oid = pg_extension.extnamespace
        where
            pg_namespace.nspname = %s and pg_class.relname = %s and pg_index.indisvalid
        """,
        [schema, _name(model_id, window_days)],
    )
    return found[0] if found else None


def size(dimension: int) -> int:
    """How many of the numbers are indexed; the last of num-regime-core-v3 hardly differ."""
    return dimension * 3 // 4


def numbers(database: Database, schema: str, dimension: int) -> sql.Composed:
    """What is indexed: the first numbers as pgvector's type. schema: that of pgvector"""
    return sql.SQL("{}(substring(vector from 1 for {}))::{}.halfvec({})").format(
        database.table("float32_array"),
        sql.Literal(4 * size(dimension)),
        sql.Identifier(schema),
        sql.Literal(size(dimension)),
    )


def condition(model_id: str, window_days: int, dimension: int) -> sql.Composed:
    """Which rows are indexed; a query says the same to be answered by the index."""
    return sql.SQL(
        "entity_type = 'INSTRUMENT' and model_id = {} and window_days = {} and dimension = {}"
    ).format(*map(sql.Literal, (model_id, window_days, dimension)))


def _name(model_id: str, window_days: int) -> str:
    return f"nearest_{model_id}_{window_days}"


def _extension(database: Database) -> str:
    """Create the extension if it is not there; returns its schema."""
    wanted = ".".join(map(str, PGVECTOR))
    if database.first("select from pg_available_extensions where name = 'vector'") is None:
        raise RegimeError(
            f"this server has no pgvector: install the extension {wanted} or newer beside it, or "
            "search exactly, as `regime analogues` does without an index"
        )
    database.execute("create extension if not exists vector schema public")
    version, schema = database.one(
        """
        select extversion, nspname
        from pg_extension
        inner join pg_namespace on pg_namespace.oid = extnamespace
        where extname = 'vector'
        """
    )
    if tuple(map(int, version.split(".")))[:2] < PGVECTOR:
        raise RegimeError(
            f"this database has pgvector {version}, and {wanted} or newer is needed: "
            "`alter extension vector update`"
        )
    return schema
