{# How many rows before a day say what volume is usual: a year of trading days. #}
{% macro volume_history_days() -%} 252 {%- endmacro %}
