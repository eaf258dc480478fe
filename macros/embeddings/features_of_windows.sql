{# A query that gives, for each wanted instrument and encoder, what its windows have in daily_features,
   row by row: the numbers that the encoder copies unchanged into the vector, as float32 bytes (block_1,
   block_2 … of var encoders), the dates, and the adjusted log returns (0 for the first row).
   features: daily_features; wanted: (instrument_id, model_id) #}
{% macro features_of_windows(features, wanted) -%}
    {%- set blocks = var('encoders').values() | map(attribute='repeats') | map('length') | max %}
    {%- for model_id, encoder in var('encoders').items() %}
    {{ 'union all' if not loop.first }}
    select
        features.instrument_id,
        '{{ model_id }}' as model_id,

        {% for number in range(blocks) -%}
        {% if number < encoder.repeats | length -%}
        {%- set block = encoder.repeats[number] -%}
        string_agg(
            {%- for column in block.columns %}
            {{ '|| ' if not loop.first -}}
            {{ float32_bytes("coalesce(features." ~ column ~ ", '" ~ block.missing ~ "')") }}
            {%- endfor %},
            ''::bytea
            order by features.trade_date
        )
        {%- else -%}
        null::bytea
        {%- endif %} as block_{{ number + 1 }},
        {% endfor -%}
        array_agg(features.trade_date order by features.trade_date) as dates,
        array_agg(coalesce(features.adjusted_log_return, 0) order by features.trade_date) as returns

    from {{ features }} as features
    where
        features.instrument_id in (
            select wanted.instrument_id from {{ wanted }} as wanted
            where wanted.model_id = '{{ model_id }}'
        )
    group by features.instrument_id
    {%- endfor %}
{%- endmacro %}
