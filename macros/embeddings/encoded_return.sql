{# The log return that an embedding holds for a place (1, 2, 3 …) of its window. The limits are far
   from any return; beyond them Postgres fails. #}
{% macro encoded_return(model_id, numbers, place) -%}
    case
        when {{ model_id }} in ('num-regime-core-v2', 'num-regime-core-v3')
            then
                sinh(greatest(-99, least(99, {{ numbers }}[{{ place }}])))
                * exp(greatest(-99, least(99, {{ numbers }}[253]))) / 100
        else {{ numbers }}[3 * ({{ place }})]
    end
{%- endmacro %}
