{# The root mean square of the log returns of a window, as num-regime-core-v2 and -v3 hold it. The
   limits are far from any return; beyond them Postgres fails. #}
{% macro encoded_scale(ln_100s) -%}
    exp(greatest(-99, least(99, {{ ln_100s }}))) / 100
{%- endmacro %}
