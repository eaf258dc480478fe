{# A jsonb text as the time stamp that to_jsonb wrote; null for any other value. #}
{% macro moment_or_null(value) -%}
    case
        when
            {{ value }} #>> '{}'
            ~ '^\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?[+-]\d\d:\d\d$'
            and {{ day_or_null("to_jsonb(substr(" ~ value ~ " #>> '{}', 1, 10))") }} is not null
            then ({{ value }} #>> '{}')::timestamp with time zone
    end
{%- endmacro %}
