{# Whether the value is at or after the start of a stretch or a load. It is written as a range
   because the planner expects few rows of a range and uses the index. For a single bound that it
   does not know, the planner would expect a third of all rows. #}
{% macro is_at_or_after(value, start) -%}
    {{ value }} between ({{ start }}) and 'infinity'
{%- endmacro %}
