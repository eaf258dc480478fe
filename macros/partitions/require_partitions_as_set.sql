{# Stops the build before it begins if partitions are asked for and numeric_window_embeddings
   already exists without them: a build never converts an existing table. #}
{% macro require_partitions_as_set() %}
    {%- if execute and flags.WHICH in ('build', 'run') and first_partition_year() -%}
        {%- set found = run_query(
            "select 1 from pg_class where relkind = 'r' and oid = to_regclass('"
            ~ relation_of('numeric_window_embeddings') ~ "')"
        ) -%}
        {%- if found | length -%}
            {{ exceptions.raise_compiler_error(
                "numeric_window_embeddings exists without partitions, but partition_embeddings asks "
                ~ "for them: follow docs/operator.md, 'Partitions', or set partition_embeddings to false"
            ) }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
