{# Every table, view and function that this project builds, but for those that the present command
   builds itself: in a `dbt build`, a test that looks for them may come before them. It is an
   expression for `from`, with the columns schema_name, name, kind and what_to_run. #}
{% macro relations_of_the_project() -%}
    {%- set schemas, names, kinds, commands = [], [], [], [] -%}
    {%- set nodes = graph.nodes.values() | list + graph.functions.values() | list if execute else [] -%}
    {%- for node in nodes
        if (node.package_name == 'regime_engine' or node.name == 'regions')
        and node.resource_type in ('model', 'seed', 'function')
        and node.config.materialized != 'ephemeral'
        and node.unique_id not in selected_resources -%}
        {%- set is_view = 'view' in node.config.materialized | default('', true) -%}
        {%- set is_of_the_engine = node.resource_type == 'seed' or 'engine' in node.fqn[:-1] -%}
        {%- do schemas.append(node.schema) -%}
        {%- do names.append(node.alias) -%}
        {%- do kinds.append(
            'function' if node.resource_type == 'function' else 'view' if is_view else 'table'
        ) -%}
        {%- do commands.append('regime init' if is_of_the_engine else 'regime pipeline') -%}
    {%- endfor -%}
    (
        select *
        from unnest(
            {%- for values in (schemas, names, kinds, commands) %}
            array[{{ "'" ~ values | join("', '") ~ "'" if values }}]::text[]{{ ',' if not loop.last }}
            {%- endfor %}
        ) as listed (schema_name, name, kind, what_to_run)
    )
{%- endmacro %}
