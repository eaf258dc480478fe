{# The log return that an embedding holds for a place (1, 2, 3 …) of its window. #}
{% macro encoded_return(model_id, numbers, place) -%}
    case
        when {{ model_id }} in ('num-regime-core-v2', 'num-regime-core-v3')
            then
                sinh(greatest(-99, least(99, {{ numbers }}[{{ place }}])))
                * {{ encoded_scale(numbers ~ '[253]') }}
        else {{ numbers }}[3 * ({{ place }})]
    end
{%- endmacro %}
