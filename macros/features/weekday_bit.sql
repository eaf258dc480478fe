{# The bit of a date's weekday: 1 for a Monday, 2 for a Tuesday, up to 64 for a Sunday. The first day
   of Postgres was a Monday. #}
{% macro weekday_bit(day) -%}
    (1 << ({{ day }} - '4714-11-24 BC'::date) % 7)
{%- endmacro %}
