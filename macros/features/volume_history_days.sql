{# The number of rows before a day that define its usual volume: a year of trading days. #}
{% macro volume_history_days() -%} 252 {%- endmacro %}
