{# On a database with Citus, distributes prices, features and embeddings over the nodes by instrument, with
   all rows of an instrument on one node, and copies the small tables to every node. The regimes are small
   if few instruments can be regions; else they are distributed by region. A table that is already
   distributed is left alone. Without Citus, nothing is done.
   `dbt run-operation distribute_tables` #}
{% macro distribute_tables() %}
    {%- if not has_citus() -%}
        {{ log('Citus is not installed in this database: nothing to distribute', info=true) }}
        {{ return('') }}
    {%- endif -%}
    {%- set prices = prices().include(database=false) | string -%}
    {%- set everywhere = ['regions', 'regime_labels', 'regime_transitions', 'regime_models',
        'regime_runs', 'notifications', 'notification_deliveries'] -%}
    {%- set by_column = [
        (prices, var('prices_columns').instrument_id, 'none'),
        (relation_of('daily_features') | string, 'instrument_id', prices),
        (relation_of('numeric_window_embeddings') | string, 'entity_id', prices)
    ] -%}
    {%- if has_many_instruments(var('many_instruments')) -%}
        {%- do by_column.append((relation_of('regimes') | string, 'region', prices)) -%}
    {%- else -%}
        {%- do everywhere.append('regimes') -%}
    {%- endif -%}

    {%- for name in everywhere -%}
        {%- set table = relation_of(name) | string -%}
        {%- do distribute(table, "create_reference_table('" ~ table ~ "')") -%}
    {%- endfor -%}
    {%- for table, column, beside in by_column -%}
        {%- do distribute(table, "create_distributed_table('" ~ table ~ "', '" ~ column
            ~ "', colocate_with => '" ~ beside ~ "')") -%}
    {%- endfor -%}
{% endmacro %}
