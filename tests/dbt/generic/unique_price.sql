{# One row per instrument and trading day. If a unique index of the source already ensures it, the
   test looks for nothing. #}
{% test unique_price(model) %}

{#- Outside of the branches, so that the parser knows what the test reads. -#}
{%- set source_of_prices = prices() -%}
{%- if prices_have_a_unique_index(source_of_prices) %}

-- A unique index of {{ source_of_prices }} ensures it.
select
    instrument_id,
    trade_date

from {{ model }}
where false

{%- else %}

select
    instrument_id,
    trade_date,
    count(*) as rows_with_this_key

from {{ model }}
group by instrument_id, trade_date
having count(*) > 1

{%- endif %}

{% endtest %}
