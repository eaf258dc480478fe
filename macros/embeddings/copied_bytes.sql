{# The bytes of a vector that its encoder copies from daily_features (var encoders); of an encoder whose
   vector is the window itself, row by row, all bytes. #}
{% macro copied_bytes(windows) -%}
    case {{ windows }}.model_id
        {%- for model_id, encoder in var('encoders').items() %}
        when '{{ model_id }}'
            then
                {% if encoder.repeats[0].columns == encoder.columns -%}
                {{ windows }}.vector
                {%- else %}
                {%- for block in encoder.repeats %}
                {{ '|| ' if not loop.first -}}
                substring({{ windows }}.vector from {{ 4 * block.from }} + 1 for 4 * {{ windows }}.window_days)
                {%- endfor %}
                {%- endif %}
        {%- endfor %}
    end
{%- endmacro %}
