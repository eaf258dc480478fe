{# Whether a row of daily_features is what the encoder saw at this place (1, 2, 3 …) of the window,
   as far as float32 tells; null where the vector does not hold the place. #}
{% macro window_row_agrees(model_id, numbers, place) -%}
    case
        when {{ model_id }} = 'num-regime-core-v2'
            then
                -- Return and volume; a constant factor on adjusted_close is no change to it.
                abs(
                    {{ encoded_return(model_id, numbers, place) }}
                    - coalesce(features.adjusted_log_return, 0)
                ) <= 1e-6 * (
                    abs(coalesce(features.adjusted_log_return, 0)) + exp({{ numbers }}[253]) / 100
                )
                and abs({{ numbers }}[126 + {{ place }}] - features.relative_log_volume)
                <= 1e-6 * greatest(1, abs(features.relative_log_volume))
        else
            -- Close and volume; the return follows from the closes.
            {{ numbers }}[3 * ({{ place }}) - 2] = features.close::real
            and {{ numbers }}[3 * ({{ place }}) - 1] = features.volume::real
    end
{%- endmacro %}
