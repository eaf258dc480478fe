{# On a database with Citus: spread prices, features and embeddings over its nodes by instrument, side by
   side, and keep the small tables that they are joined with on every node. Without Citus, or where a
   table is distributed already, nothing is done. `dbt run-operation distribute_tables` #}
{% macro distribute_tables() %}
    {%- if not has_citus() -%}
        {{ log('Citus is not installed in this database: nothing to distribute', info=true) }}
        {{ return('') }}
    {%- endif -%}
    {%- set historical = env_var('REGIME_HISTORICAL_SCHEMA', 'historical') -%}
    {%- set runtime = env_var('REGIME_RUNTIME_SCHEMA', 'runtime') -%}
    {%- set prices = adapter.quote(historical) ~ '.prices_daily' -%}
    {%- set everywhere = ['regions', 'regime_labels', 'regimes', 'regime_transitions', 'regime_models',
        'regime_runs'] -%}
    {%- set by_instrument = [
        (prices, var('prices_columns').instrument_id, 'none'),
        ('features.daily_features', 'instrument_id', prices),
        (adapter.quote(historical) ~ '.numeric_window_embeddings', 'entity_id', prices)
    ] -%}

    {%- for table in everywhere -%}
        {%- set table = adapter.quote(runtime) ~ '.' ~ table -%}
        {%- do distribute(table, "create_reference_table('" ~ table ~ "')") -%}
    {%- endfor -%}
    {%- for table, column, beside in by_instrument -%}
        {%- do distribute(table, "create_distributed_table('" ~ table ~ "', '" ~ column
            ~ "', colocate_with => '" ~ beside ~ "')") -%}
    {%- endfor -%}
{% endmacro %}
