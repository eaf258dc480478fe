{# A query that gives each row of daily_features the xor of the feature_hash of its instrument's
   rows up to it. #}
{% macro running_hashes(features) -%}
    select
        instrument_id,
        trade_date,
        day_number,
        bit_xor(feature_hash) over (partition by instrument_id order by trade_date) as hash_until

    from {{ features }}
{%- endmacro %}
