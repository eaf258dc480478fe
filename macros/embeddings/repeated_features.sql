{# A query that gives each wanted instrument and encoder one string of float32 bytes: the numbers of
   daily_features, row by row, that the encoder copies into the vector unchanged (var encoders).
   features: daily_features; wanted: (instrument_id, model_id) #}
{% macro repeated_features(features, wanted) -%}
    {%- for model_id, encoder in var('encoders').items() %}
    {{ 'union all' if not loop.first }}
    select
        features.instrument_id,
        '{{ model_id }}' as model_id,

        {{ 4 * encoder.repeats | length }} as row_bytes,
        {{ 4 * encoder.repeats_from }} as bytes_before,
        string_agg(
            {%- for column in encoder.repeats %}
            {{ '|| ' if not loop.first -}}
            {{ float32_bytes("coalesce(features." ~ column ~ ", 'NaN')") }}
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
{%- endmacro %}
