{# What copied_bytes is if the vector is of its window.
   An encoder whose vector is the window itself, row by row, sets the window's first return to 0, keeps
   the newest rows if not all have room, and fills the room that is left with zeros.
   windows: with day_number; features: of features_of_windows, for the same instrument and encoder #}
{% macro expected_bytes(windows, features) -%}
    case {{ windows }}.model_id
        {%- for model_id, encoder in var('encoders').items() %}
        when '{{ model_id }}'
            then
                {% if encoder.repeats[0].columns == encoder.columns -%}
                {%- set row = 4 * encoder.columns | length -%}
                {%- set rows = 'least(' ~ windows ~ '.window_days, octet_length(' ~ windows ~ '.vector) / ' ~ row ~ ')' -%}
                {%- set bytes = 'substring(' ~ features ~ '.block_1 from (' ~ windows ~ '.day_number - ' ~ rows ~ ') * ' ~ row ~ ' + 1 for ' ~ rows ~ ' * ' ~ row ~ ')' -%}
                case
                    when {{ windows }}.window_days = {{ rows }}
                        then overlay(
                            {{ bytes }}
                            placing '\x00000000'::bytea
                            from {{ 4 * encoder.columns.index('log_return') + 1 }}
                        )
                    else {{ bytes }}
                end
                || decode(repeat('00', octet_length({{ windows }}.vector) - {{ rows }} * {{ row }}), 'hex')
                {%- else %}
                {%- for block in encoder.repeats %}
                {{ '|| ' if not loop.first -}}
                substring(
                    {{ features }}.block_{{ loop.index }}
                    from 4 * ({{ windows }}.day_number - {{ windows }}.window_days) + 1
                    for 4 * {{ windows }}.window_days
                )
                {%- endfor %}
                {%- endif %}
        {%- endfor %}
    end
{%- endmacro %}
