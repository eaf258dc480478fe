{# The log return that an embedding holds for a place (1, 2, 3 …) of its window. #}
{% macro encoded_return(model_id, numbers, place) -%}
    case
        when {{ model_id }} = 'num-regime-core-v2'
            then sinh({{ numbers }}[{{ place }}]) * exp({{ numbers }}[253]) / 100
        else {{ numbers }}[3 * ({{ place }})]
    end
{%- endmacro %}
