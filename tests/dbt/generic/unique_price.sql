{# One row an instrument and trading day. Where a unique index of the source says so already, there is
   nothing to look for. #}
{% test unique_price(model) %}

{%- if prices_have_a_unique_index() %}

-- A unique index of {{ prices() }} sees to it.
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
