{# The date that a text of a JSON document is, as YYYY-MM-DD; null if it is none. A cast would fail,
   and with it the view or the audit. A day that its month has not counts on into the next month. #}
{% macro json_date(text) -%}
    case
        when {{ text }} ~ '^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$'
            then ({{ text }})::date
        when {{ text }} ~ '^[12][0-9]{3}-(0[1-9]|1[0-2])-(29|30|31)$'
            then (left({{ text }}, 8) || '28')::date + right({{ text }}, 2)::integer - 28
    end
{%- endmacro %}
