{#- Every table, view and function that the project builds, but for what this command builds itself: in a
    `dbt build`, the test may come first. -#}
{%- set schemas, names, kinds, commands = [], [], [], [] -%}
{%- for node in graph.nodes.values() | list + graph.functions.values() | list
    if (node.package_name == 'regime_engine' or node.name == 'regions')
    and node.resource_type in ('model', 'seed', 'function')
    and node.config.materialized != 'ephemeral'
    and node.unique_id not in selected_resources -%}
    {%- do schemas.append(node.schema) -%}
    {%- do names.append(node.alias) -%}
    {%- if node.resource_type == 'function' -%} {%- do kinds.append('function') -%}
    {%- else -%} {%- do kinds.append('view' if 'view' in node.config.materialized else 'table') -%}
    {%- endif -%}
    {%- set is_early = node.resource_type == 'seed' or 'engine' in node.fqn[:-1] -%}
    {%- do commands.append('regime init' if is_early else 'regime pipeline') -%}
{%- endfor -%}

with

expected as (

    select
        schema_name,
        name,
        kind,
        what_to_run

    from unnest(
        {%- for values in (schemas, names, kinds, commands) %}
        array[{{ "'" ~ values | join("', '") ~ "'" if values }}]::text[]{{ ',' if not loop.last }}
        {%- endfor %}
    ) as of_the_project (schema_name, name, kind, what_to_run)

),

present as (

    select
        nspname as schema_name,
        relname as name,
        case when relkind = 'v' then 'view' else 'table' end as kind

    from pg_class
    inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
    where relkind in ('r', 'p', 'v')

    union

    select
        nspname as schema_name,
        proname as name,
        'function' as kind

    from pg_proc
    inner join pg_namespace on pg_proc.pronamespace = pg_namespace.oid

),

missing as (

    select
        expected.schema_name,
        expected.name,
        expected.kind,
        expected.what_to_run

    from expected
    left join present
        on
            expected.schema_name = present.schema_name
            and expected.name = present.name
            and expected.kind = present.kind
    where present.name is null

)

select * from missing
