{# Mean of ln volume over the rows before this one, those without a volume left out.
   In whole units of 1e-15: a moving sum of integers is exact, so that it can add a row and drop
   one, where a sum of floats begins anew on every row. #}
{% macro usual_log_volume(volume, instrument_window) -%}
    avg((ln(nullif({{ volume }}, 0)) * 1e15)::bigint) over (
        {{ instrument_window }}
        rows between {{ volume_history_days() }} preceding and 1 preceding
    )::double precision / 1e15
{%- endmacro %}
