{# A query for the views that read a relation, or some of its columns, and for the views that read
   those in turn. is_built_again: whether the present command builds the view, so that dropping it
   loses nothing. #}
{% macro dependent_views(relation, columns=none) %}
    {%- set selected = [] -%}
    {%- for node in graph.nodes.values() if node.unique_id in selected_resources -%}
        {%- do selected.append("'" ~ node.schema ~ '.' ~ node.alias ~ "'") -%}
    {%- endfor %}
    with recursive

    links as (

        select
            pg_depend.refobjid as read_oid,
            pg_depend.refobjsubid as column_number,
            pg_rewrite.ev_class as view_oid

        from pg_depend
        inner join pg_rewrite on pg_depend.objid = pg_rewrite.oid
        where
            pg_depend.classid = 'pg_rewrite'::regclass
            and pg_depend.refclassid = 'pg_class'::regclass
            and pg_depend.refobjid <> pg_rewrite.ev_class

    ),

    dependents as (

        select view_oid
        from links
        where
            read_oid = '{{ relation }}'::regclass
            {%- if columns %}
            and column_number in (
                select attnum
                from pg_attribute
                where attrelid = '{{ relation }}'::regclass and attname in ('{{ columns | join("', '") }}')
            )
            {%- endif %}

        union

        select links.view_oid
        from dependents
        inner join links on dependents.view_oid = links.read_oid

    )

    select
        pg_class.oid::regclass::text as name,
        pg_namespace.nspname || '.' || pg_class.relname
        = any (array[{{ selected | join(', ') }}]::text[]) as is_built_again

    from dependents
    inner join pg_class on dependents.view_oid = pg_class.oid
    inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
{% endmacro %}
