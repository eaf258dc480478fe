{# A query that gives each wanted instrument and encoder strings of float32 bytes: the numbers of
   daily_features, row by row, that the encoder copies into the vector unchanged (var encoders).
   unlike_rows: the first rows of a window that may differ, because the encoder sets the first return to 0
   features: daily_features; wanted: (instrument_id, model_id) #}
{% macro repeated_features(features, wanted) -%}
    {%- for model_id, encoder in var('encoders').items() %}
    {%- set is_first = loop.first %}
    {%- for block in encoder.repeats %}
    {{ 'union all' if not (is_first and loop.first) }}
    select
        features.instrument_id,
        '{{ model_id }}' as model_id,

        {{ 4 * block.columns | length }} as row_bytes,
        {{ 4 * block.from }} as bytes_before,
        {{ 1 if 'log_return' in block.columns else 0 }} as unlike_rows,
        string_agg(
            {%- for column in block.columns %}
            {{ '|| ' if not loop.first -}}
            {{ float32_bytes("coalesce(features." ~ column ~ ", '" ~ block.missing ~ "')") }}
            {%- endfor %},
            ''::bytea
            order by features.trade_date
        ) as bytes

    from {{ features }} as features
    where
        features.instrument_id in (
            select wanted.instrument_id from {{ wanted }} as wanted
            where wanted.model_id = '{{ model_id }}'
        )
    group by features.instrument_id
    {%- endfor %}
    {%- endfor %}
{%- endmacro %}
