{# Whether a row of daily_features equals what the vector holds at this place (1, 2, 3 …) of the
   window, within float32 precision; null if the vector does not hold the place. #}
{% macro window_row_agrees(model_id, numbers, place) -%}
    case
        when {{ model_id }} in ('num-regime-core-v2', 'num-regime-core-v3')
            then
                -- Return and volume. A constant factor on adjusted_close changes neither.
                abs(
                    {{ encoded_return(model_id, numbers, place) }}
                    - coalesce(features.adjusted_log_return, 0)
                ) <= 1e-6 * (
                    abs(coalesce(features.adjusted_log_return, 0)) + {{ encoded_scale(numbers ~ '[253]') }}
                )
                and abs({{ numbers }}[126 + {{ place }}] - features.relative_log_volume)
                <= 1e-6 * greatest(1, abs(features.relative_log_volume))
                and (
                    {{ model_id }} = 'num-regime-core-v2'
                    or (
                        {{ encoded_or_null(numbers ~ '[189 + ' ~ place ~ ']') }}
                        is not distinct from features.log_range::real
                        and {{ encoded_or_null(numbers ~ '[290 + ' ~ place ~ ']') }}
                        is not distinct from features.overnight_gap::real
                    )
                )
        else
            -- Close and volume. The return follows from the closes.
            {{ numbers }}[3 * ({{ place }}) - 2] = features.close::real
            and {{ numbers }}[3 * ({{ place }}) - 1] = features.volume::real
    end
{%- endmacro %}
