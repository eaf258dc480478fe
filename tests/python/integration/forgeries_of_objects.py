"""Changes of the database's objects, one at a time, that would hide or change what the audit reads."""

from dataclasses import dataclass

from stored import EMBEDDINGS, FEATURES, MODELS, REGIMES, RUNS, TRANSITIONS

NORM, ARRAY = "audit.euclidean_norm(real[])", "audit.float32_array(bytea)"


@dataclass(frozen=True)
class ForgeryOfObjects:
    """Statements that change an object, and what is said of it.

    found: a part of what was found instead
    """

    name: str
    sql: tuple[str, ...]
    object: str
    fault: str
    found: str = ""


def forgery(name: str, *sql: str, of: str, fault: str, found: str = "") -> ForgeryOfObjects:
    return ForgeryOfObjects(name, sql, of, fault, found)


def lying_view(table: str, column: str, value: str) -> tuple[str, ...]:
    """The table hidden behind a view that shows another value in a column."""
    schema, name = table.split(".")
    return (
        f"alter table {table} rename to {name}_hidden",
        f"""
        do $$
        begin
            execute (
                select
                    'create view {table} as select ' || string_agg(
                        case when attname = '{column}' then '{value} as {column}' else attname end,
                        ', ' order by attnum
                    ) || ' from {schema}.{name}_hidden'
                from pg_attribute
                where attrelid = '{schema}.{name}_hidden'::regclass and attnum > 0
            );
        end
        $$
        """,
    )


def replaced_view(view: str, old: str, new: str) -> str:
    """`create or replace view` with another text in its definition."""
    old, new = old.replace("'", "''"), new.replace("'", "''")
    return f"""
        do $$
        declare
            definition text := pg_get_viewdef('{view}'::regclass);
        begin
            if position('{old}' in definition) = 0 then
                raise exception '%', definition;
            end if;
            execute 'create or replace view {view} as ' || replace(definition, '{old}', '{new}');
        end
        $$
    """


# A trigger function that undoes a write.
NOTHING = """
    create function public.nothing() returns trigger language plpgsql
    as $$ begin return null; end $$
"""
EVENT = """
    create function public.at_an_event() returns event_trigger language plpgsql
    as $$ begin null; end $$
"""

FORGERIES = (
    forgery(
        "regimes behind a lying view",
        *lying_view(REGIMES, "regime_label", "''CARRY''::text"),
        of=REGIMES,
        fault="is of another kind",
        found="view",
    ),
    forgery(
        "regimes as a materialized view",
        f"alter table {REGIMES} rename to hidden",
        f"create materialized view {REGIMES} as select * from runtime.hidden",
        of=REGIMES,
        fault="is of another kind",
        found="materialized view",
    ),
    forgery(
        "embeddings under a parent that is partitioned otherwise",
        f"create table historical.other (like {EMBEDDINGS}) partition by list (entity_id)",
        f"drop table {EMBEDDINGS} cascade",
        "alter table historical.other rename to numeric_window_embeddings",
        of=EMBEDDINGS,
        fault="is of another kind",
        found="partitioned table by LIST (entity_id)",
    ),
    forgery(
        "staging hides a price",
        replaced_view("staging.stg_prices_daily", "WHERE (", "WHERE close < 1e9 and ("),
        of="staging.stg_prices_daily",
        fault="has another definition",
        found="close < ",
    ),
    forgery(
        "a view of the audit hides a label",
        replaced_view(
            "audit.regime_timeline", "regimes.regime_label", "'CARRY'::text AS regime_label"
        ),
        of="audit.regime_timeline",
        fault="has another definition",
        found="CARRY",
    ),
    forgery(
        "a view of the engine knows another command",
        replaced_view("runtime.current_regions", "'region add'::text", "'region added'::text"),
        of="runtime.current_regions",
        fault="has another definition",
        found="region added",
    ),
    forgery(
        "a view as its reader sees it",
        "alter view audit.run_ledger set (security_barrier = true)",
        of="audit.run_ledger",
        fault="has options",
        found="security_barrier=true",
    ),
    forgery(
        "a default on a view's column",
        "alter view audit.run_ledger alter column command set default 'run'",
        of="audit.run_ledger",
        fault="has a column with a default",
        found="'run'",
    ),
    forgery(
        "a trigger in place of a view's writes",
        NOTHING,
        "create trigger quiet instead of insert on audit.run_ledger"
        " for each row execute function public.nothing()",
        of="audit.run_ledger",
        fault="has a trigger",
        found="INSTEAD OF",
    ),
    forgery(
        "a check dropped",
        "do $$ begin execute (select 'alter table runtime.regime_models drop constraint ' || quote_ident(conname)"
        " from pg_constraint where conrelid = 'runtime.regime_models'::regclass and contype = 'p'); end $$",
        of=MODELS,
        fault="lacks a constraint",
    ),
    forgery(
        "a check dropped",
        f"alter table {MODELS} drop constraint regime_models_check",
        of=MODELS,
        fault="lacks a constraint",
    ),
    forgery(
        "a check that was never checked",
        f"alter table {REGIMES} add constraint positive check (window_days > 0) not valid",
        of=REGIMES,
        fault="has a constraint more",
        found="NOT VALID",
    ),
    forgery(
        "a check that lets a day be missing",
        f"alter table {REGIMES} add constraint no_sunday check (extract(dow from as_of_date) <> 0) not valid",
        of=REGIMES,
        fault="has a constraint more",
        found="EXTRACT",
    ),
    forgery(
        "a foreign key that deletes",
        "create table public.switch (run_id uuid primary key)",
        f"insert into public.switch select distinct run_id from {REGIMES}",
        f"alter table {REGIMES} add foreign key (run_id) references public.switch on delete cascade",
        of=REGIMES,
        fault="has a constraint more",
        found="ON DELETE CASCADE",
    ),
    forgery(
        "a key replaced by an index that is not unique",
        f"alter table {REGIMES} drop constraint regimes_pkey",
        f"create index regimes_pkey on {REGIMES} (region, as_of_date, model_id, window_days)",
        of=REGIMES,
        fault="lacks a constraint",
    ),
    forgery(
        "a key of more columns",
        f"alter table {REGIMES} drop constraint regimes_pkey,"
        " add primary key (region, as_of_date, model_id, window_days, run_id)",
        of=REGIMES,
        fault="has a constraint more",
        found="run_id",
    ),
    forgery(
        "a key that is checked late",
        f"alter table {TRANSITIONS} drop constraint regime_transitions_pkey,"
        " add primary key (region, as_of_date, model_id, window_days) deferrable",
        of=TRANSITIONS,
        fault="has a constraint more",
        found="DEFERRABLE",
    ),
    forgery(
        "a key whose index is marked invalid",
        f"update pg_index set indisvalid = false where indrelid = '{REGIMES}'::regclass and indisprimary",
        of=REGIMES,
        fault="has a key that does not hold",
    ),
    forgery(
        "a not null dropped",
        f"alter table {REGIMES} alter column row_hash drop not null",
        of=REGIMES,
        fault="has another column",
        found="row_hash text",
    ),
    forgery(
        "a default",
        f"alter table {RUNS} alter column database_user set default 'nobody'",
        of=RUNS,
        fault="has another column",
        found="'nobody'",
    ),
    forgery(
        "a column that sorts otherwise",
        'alter table runtime.regime_locks alter column name type text collate "C"',
        of="runtime.regime_locks",
        fault="has another column",
        found='"C"',
    ),
    forgery(
        "a generated column",
        f"alter table {FEATURES} add column shown double precision generated always as (close) stored",
        of=FEATURES,
        fault="has a column more",
        found="generated close",
    ),
    forgery(
        "a column more",
        f"alter table {REGIMES} add column note text",
        of=REGIMES,
        fault="has a column more",
        found="note text",
    ),
    forgery(
        "a trigger that undoes writes",
        NOTHING,
        f"create trigger quiet before insert or update on {REGIMES}"
        " for each row execute function public.nothing()",
        of=REGIMES,
        fault="has a trigger",
        found="public.nothing()",
    ),
    forgery(
        "a trigger that is disabled for now",
        NOTHING,
        f"create trigger quiet after delete on {RUNS} for each row execute function public.nothing()",
        f"alter table {RUNS} disable trigger quiet",
        of=RUNS,
        fault="has a trigger",
        found="(disabled)",
    ),
    forgery(
        "a trigger of Postgres's own function",
        f"create trigger quiet before update on {EMBEDDINGS}"
        " for each row execute function suppress_redundant_updates_trigger()",
        of=EMBEDDINGS,
        fault="has a trigger",
    ),
    forgery(
        "a trigger on the table of locks",
        NOTHING,
        "create trigger quiet before insert on runtime.regime_locks"
        " for each row execute function public.nothing()",
        of="runtime.regime_locks",
        fault="has a trigger",
    ),
    forgery(
        "a rule that undoes deletes",
        f"create rule quiet as on delete to {REGIMES} do instead nothing",
        of=REGIMES,
        fault="has a rule",
        found="INSTEAD NOTHING",
    ),
    forgery(
        "row security",
        f"alter table {REGIMES} enable row level security",
        of=REGIMES,
        fault="has row security",
    ),
    forgery(
        "a policy that waits",
        f"create policy quiet on {REGIMES} using (region <> 'US')",
        of=REGIMES,
        fault="has a policy",
        found="region <> 'US'",
    ),
    forgery(
        "a child that adds rows",
        f"create table runtime.more () inherits ({REGIMES})",
        of=REGIMES,
        fault="has a child whose rows it shows",
        found="runtime.more",
    ),
    forgery(
        "a parent",
        "create table runtime.above (region text not null)",
        f"alter table {REGIMES} inherit runtime.above",
        of=REGIMES,
        fault="inherits from another table",
        found="runtime.above",
    ),
    forgery(
        "a table that a crash empties",
        f"alter table {RUNS} set unlogged",
        of=RUNS,
        fault="is not logged",
    ),
    forgery(
        "another owner",
        "create role somebody",
        f"alter table {REGIMES} owner to somebody",
        of=REGIMES,
        fault="has another owner",
        found="somebody",
    ),
    forgery(
        "a function of another owner",
        "create role somebody",
        f"alter function {NORM} owner to somebody",
        of="audit.euclidean_norm",
        fault="has another owner",
        found="somebody",
    ),
    forgery(
        "everybody may write",
        f"grant insert, update on {REGIMES} to public",
        of=REGIMES,
        fault="may be written by others",
        found="insert, update to public",
    ),
    forgery(
        "everybody may empty",
        f"grant truncate on {RUNS} to public",
        of=RUNS,
        fault="may be written by others",
        found="truncate to public",
    ),
    forgery(
        "somebody may write one column",
        "create role somebody",
        f"grant update (regime_label) on {REGIMES} to somebody",
        of=REGIMES,
        fault="may be written by others",
        found="update (regime_label) to somebody",
    ),
    forgery(
        "somebody may add triggers",
        "create role somebody",
        f"grant trigger on {EMBEDDINGS} to somebody",
        of=EMBEDDINGS,
        fault="may be written by others",
        found="trigger to somebody",
    ),
    forgery(
        "everybody may create functions beside ours",
        "grant create on schema audit to public",
        of="audit",
        fault="may be filled by everybody",
    ),
    forgery(
        "a changed function",
        f"create or replace function {NORM.replace('real', 'numbers real')} returns double precision"
        " immutable strict parallel safe language sql as 'select 1::double precision'",
        of="audit.euclidean_norm",
        fault="differs in its body",
        found="select 1",
    ),
    forgery(
        "a function with its body in another form",
        f"create or replace function {NORM.replace('real', 'numbers real')} returns double precision"
        " immutable strict parallel safe language sql return 1::double precision",
        of="audit.euclidean_norm",
        fault="differs in its body",
        found="RETURN",
    ),
    forgery(
        "a function in another language",
        f"create or replace function {NORM.replace('real', 'numbers real')} returns double precision"
        " immutable strict parallel safe language plpgsql as 'begin return 1; end'",
        of="audit.euclidean_norm",
        fault="differs in its language",
        found="plpgsql",
    ),
    forgery(
        "a function that runs as its owner",
        f"alter function {ARRAY} security definer",
        of="audit.float32_array",
        fault="differs in its security",
        found="definer",
    ),
    forgery(
        "a function with a search_path of its own",
        f"alter function {ARRAY} set search_path = liar, pg_catalog",
        of="audit.float32_array",
        fault="differs in its settings",
        found="liar",
    ),
    forgery(
        "a function that is not the same twice",
        f"alter function {ARRAY} volatile",
        of="audit.float32_array",
        fault="differs in its volatility",
        found="v",
    ),
    forgery(
        "a function of our name for other arguments",
        "create function audit.float32_array(text) returns real[] language sql"
        " as 'select array[0]::real[]'",
        of="audit.float32_array",
        fault="has another function of its name",
        found="audit.float32_array(text)",
    ),
    forgery(
        "a function dropped",
        "drop function audit.euclidean_distance(real[], real[])",
        of="audit.euclidean_distance",
        fault="is missing",
    ),
    forgery(
        "an event trigger",
        EVENT,
        "create event trigger quiet on ddl_command_end execute function public.at_an_event()",
        of="quiet",
        fault="runs at every change of an object",
        found="public.at_an_event()",
    ),
    forgery(
        "a cast that writes another text",
        "create function public.lie(jsonb) returns text language sql immutable as $$ select '{}' $$",
        "create cast (jsonb as text) with function public.lie(jsonb)",
        of="(jsonb as text)",
        fault="changes a type of Postgres",
        found="public.lie(jsonb)",
    ),
    forgery(
        "a function beside one of Postgres",
        "create function pg_catalog.sha256(text) returns bytea language sql as $$ select ''::bytea $$",
        of="sha256(text)",
        fault="has the name of a function of Postgres",
    ),
    forgery(
        "a function in place of one of Postgres",
        "create or replace function pg_catalog.encode(bytea, text) returns text"
        " language sql immutable strict as $$ select '' $$",
        of="pg_catalog.encode(pg_catalog.bytea,pg_catalog.text)",
        fault="was changed since the cluster was made",
    ),
    forgery(
        "an operator of Postgres that calls another function",
        "update pg_operator set oprcode = 'texteq' where oid = '<>(text, text)'::regoperator",
        of="pg_catalog.<>(pg_catalog.text,pg_catalog.text)",
        fault="was changed since the cluster was made",
    ),
    forgery(
        "an event trigger that hides in an extension",
        EVENT,
        "create event trigger quiet on ddl_command_end execute function public.at_an_event()",
        "alter extension plpgsql add event trigger quiet",
        of="quiet",
        fault="runs at every change of an object",
    ),
    forgery(
        "an operator beside one of Postgres",
        "create function public.never(date, text) returns boolean language sql as 'select false'",
        "create operator pg_catalog.<> (leftarg = date, rightarg = text, function = public.never)",
        of="<>(date,text)",
        fault="has the name of an operator of Postgres",
    ),
    forgery(
        "an index with an order of its own",
        "create function public.same(text, text) returns integer language sql immutable as 'select 0'",
        "create operator class public.alike for type text using btree as operator 3 =, function 1 public.same(text, text)",
        f"create index alike on {REGIMES} (region public.alike)",
        of=REGIMES,
        fault="has an index that compares in its own way",
        found="alike",
    ),
    forgery(
        "an instrument of the seed edited",
        "update runtime.regions set instrument_id = 'IXIC.INDX' where region = 'US'",
        of="runtime.regions",
        fault="has a row that the file lacks",
        found="IXIC.INDX",
    ),
    forgery(
        "a row of the seed removed",
        "delete from runtime.regime_labels where label = 'CRISIS'",
        of="runtime.regime_labels",
        fault="lacks a row of the file",
    ),
    forgery(
        "a row of the seed twice",
        "insert into runtime.regime_labels select * from runtime.regime_labels where label = 'CARRY'",
        of="runtime.regime_labels",
        fault="has a row that the file lacks",
        found="CARRY",
    ),
    forgery(
        "a region added by hand",
        "insert into runtime.regions (region, instrument_id) values ('JP', 'N225.INDX')",
        of="runtime.regions",
        fault="has a row that the file lacks",
        found="N225.INDX",
    ),
)

# What people add, and what is no fault.
BESIDE_OURS = (
    "create role analyst",
    f"create view public.mine as select * from {REGIMES}",
    f"create materialized view audit.mine as select region, count(*) as days from {REGIMES} group by 1",
    "create table runtime.notes (region text primary key, note text default 'none')",
    "create function audit.mine(integer) returns integer language sql as 'select 1'",
    "create function public.sha256(bytea) returns bytea language sql as 'select $1'",
    f"create index mine on {REGIMES} (regime_label) where region = 'US'",
    f"create unique index once on {RUNS} (run_id) where status = 'RUNNING'",
    f"create table public.days (region text, as_of_date date, model_id text, window_days integer,"
    f" foreign key (region, as_of_date, model_id, window_days) references {REGIMES})",
    f"create publication mine for table {REGIMES}",
    f"create statistics runtime.mine on region, regime_label from {REGIMES}",
    f"grant select on {REGIMES}, audit.regime_timeline to analyst",
    "grant usage, create on schema audit to analyst",
    "grant usage on schema runtime to public",
    f"comment on table {REGIMES} is 'ours'",
    f"alter table {REGIMES} set (fillfactor = 90), alter column metadata set statistics 1000",
    "create cast (varchar as jsonb) with inout as assignment",
    EVENT,
    "create event trigger at_rest on ddl_command_end execute function public.at_an_event()",
    "alter event trigger at_rest disable",
    "create event trigger known on sql_drop execute function public.at_an_event()",
)

REFUSES = (
    "create function public.never() returns event_trigger language plpgsql"
    " as $$ begin raise exception 'never'; end $$",
    "create event trigger refuses on ddl_command_start execute function public.never()",
)

# A schema of lies before all others and temporary tables in each session, wherever it comes from; an event
# trigger that empties each table of failures as soon as it is made; and a view in place of one.
SHADOWS = (
    "create schema liar",
    "create function liar.sha256(bytea) returns bytea language sql immutable"
    r" as $$ select '\x00'::bytea $$",
    "create function liar.encode(bytea, text) returns text language sql immutable as $$ select '' $$",
    "create function liar.never(text, text) returns boolean language sql immutable as 'select false'",
    "create operator liar.<> (leftarg = text, rightarg = text, function = liar.never)",
    "create domain liar.text as pg_catalog.text",
    "create function liar.empties() returns event_trigger language plpgsql security definer as $$"
    " declare made record; begin"
    " for made in select * from pg_catalog.pg_event_trigger_ddl_commands()"
    " where object_type = 'table' and schema_name = 'audit_failures' loop"
    " execute 'delete from ' || made.object_identity; end loop; end $$",
    "create event trigger empties on ddl_command_end when tag in ('CREATE TABLE AS')"
    " execute function liar.empties()",
    "create function liar.shadows() returns event_trigger language plpgsql as $$ begin"
    " create temporary table pg_class as select * from pg_catalog.pg_class limit 0;"
    " create temporary table pg_proc as select * from pg_catalog.pg_proc limit 0;"
    " create temporary view regimes as select 'CARRY' as regime_label;"
    " create temporary table jsonb (nothing integer); end $$",
    "create event trigger shadows on login execute function liar.shadows()",
    "create schema if not exists audit_failures",
    "drop table if exists audit_failures.regimes_are_as_they_were_classified",
    "create view audit_failures.regimes_are_as_they_were_classified as select 1 where false",
    "do $$ begin execute format("
    "'alter database %I set search_path = liar, pg_catalog', current_database()); end $$",
)
