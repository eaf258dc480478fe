{# Whether the features have at least so many instruments. `regime embed --all --classify` makes a region
   of each. #}
{% macro has_many_instruments(many) -%}
    {%- set counted = run_query(
        "select count(distinct instrument_id) from " ~ relation_of('daily_features')
    ) -%}
    {{ return(counted.columns[0][0] >= many) }}
{%- endmacro %}
