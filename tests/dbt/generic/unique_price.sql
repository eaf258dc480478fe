{# One row per instrument and trading day. If a unique index of the source already ensures it, the
   test looks for nothing. #}
{% test unique_price(model) %}

{%- if prices_have_a_unique_index() %}

-- A unique index of {{ prices() }} ensures it.
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
