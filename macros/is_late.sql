{# True where the value is at or after the start, of a stretch or a load. As a range, of which the
   planner expects few rows and takes an index where there is one; of a single bound that it does not
   know it would expect a third of all rows. #}
{% macro is_late(value, start) -%}
    {{ value }} between ({{ start }}) and 'infinity'
{%- endmacro %}
