{# A query: each wanted instrument's whole daily_features as an encoder sees them, one string of bytes.
   A window is then a substring of it (macro hash_of_history), where aggregating the rows of each
   window anew would read every row window_days times.
   features: daily_features; wanted: (instrument_id, model_id) #}
{% macro feature_histories(features, wanted) -%}
    {%- for model_id, encoder in var('encoders').items() %}
    {{ 'union all' if not loop.first }}
    select
        features.instrument_id,
        '{{ model_id }}' as model_id,

        {{ 4 + 8 * encoder.columns | length }} as row_bytes,
        string_agg({{ feature_bytes(encoder.columns) }}, ''::bytea order by trade_date) as bytes

    from {{ features }} as features
    where
        features.instrument_id in (
            select wanted.instrument_id from {{ wanted }} as wanted
            where wanted.model_id = '{{ model_id }}'
        )
    group by features.instrument_id
    {%- endfor %}
{%- endmacro %}
