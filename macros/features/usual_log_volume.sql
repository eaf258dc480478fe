{# The mean of ln volume over the 252 rows before this one; rows without a volume are left out. It
   is computed in whole units of 1e-15. A moving sum of integers is exact, so Postgres can add one
   row and drop another; a moving sum of floats would be summed anew for every row. #}
{% macro usual_log_volume(volume, instrument_window) -%}
    avg((ln(nullif({{ volume }}, 0)) * 1e15)::bigint) over (
        {{ instrument_window }}
        rows between {{ volume_history_days() }} preceding and 1 preceding
    )::double precision / 1e15
{%- endmacro %}
