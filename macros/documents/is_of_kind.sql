{# Whether a jsonb value is of a kind, each of which has one canonical form. A missing value is null,
   and so is the answer. No text is cast that may not be castable, so that an edited document is named
   and breaks no query. #}
{% macro is_of_kind(value, kind) -%}
    {%- if kind.startswith('optional ') -%}
        (
            {{ value }} = 'null'
            or {{ is_of_kind(value, kind[9:]) }}
        )
    {%- elif kind == 'text' -%}
        (
            jsonb_typeof({{ value }}) = 'string'
            and {{ value }} <> '""'
        )
    {%- elif kind == 'day' -%}
        (
            jsonb_typeof({{ value }}) = 'string'
            and {{ value }} is not distinct from jsonb_path_query_first(
                {{ value }}, '$.datetime("YYYY-MM-DD")', '{}', true
            )
        )
    {%- elif kind == 'moment' -%}
        ({{ moment_or_null(value) }} is not null)
    {%- elif kind == 'uuid' -%}
        ({{ uuid_or_null(value) }} is not null)
    {%- elif kind == 'bytes' -%}
        (
            jsonb_typeof({{ value }}) = 'string'
            and {{ value }} #>> '{}' ~ '^\\x([0-9a-f]{2})*$'
        )
    {%- elif kind == 'count' -%}
        (
            jsonb_typeof({{ value }}) = 'number'
            and {{ value }} #>> '{}' ~ '^[0-9]{1,9}$'
        )
    {%- elif kind == 'weight' -%}
        (
            jsonb_typeof({{ value }}) = 'number'
            and {{ value }} >= '0'
        )
    {%- elif kind == 'probabilities' -%}
        (
            jsonb_typeof({{ value }}) = 'object'
            and not jsonb_path_exists({{ value }}, '$.* ? (@.type() != "number")')
        )
    {%- elif kind == 'weights' -%}
        (
            jsonb_typeof({{ value }}) = 'object'
            and not jsonb_path_exists({{ value }}, '$.* ? (@.type() != "number" || @ <= 0)')
        )
    {%- elif kind == 'instruments' -%}
        (
            {{ value }} = '"all"'
            or (
                jsonb_typeof({{ value }}) = 'array'
                and not jsonb_path_exists({{ value }}, '$[*] ? (@.type() != "string")')
            )
        )
    {%- elif kind == 'shard' -%}
        ({{ value }} #>> '{}' ~ '^[1-9][0-9]{0,8}/[1-9][0-9]{0,8}$')
    {%- elif kind == 'years' -%}
        ({{ value }} = '"all"' or {{ is_of_kind(value, 'count') }})
    {%- elif kind == 'series' -%}
        (
            jsonb_typeof({{ value }}) = 'array'
            and not jsonb_path_exists(
                {{ value }},
                '$[*] ? (
                    @.region.type() != "string"
                    || @.model_id.type() != "string"
                    || @.window_days.type() != "number"
                    || !exists(@.region)
                    || !exists(@.model_id)
                    || !exists(@.window_days)
                )'
            )
        )
    {%- elif kind == 'stretches' -%}
        (
            jsonb_typeof({{ value }}) = 'array'
            and not jsonb_path_exists({{ value }}, '$[*] ? (@.type() != "string")')
            and not jsonb_path_exists(
                {{ value }},
                '$[*] ? (
                    !(@ like_regex "^[^=]+=[0-9]{4}-[0-9]{2}-[0-9]{2}:[0-9]{4}-[0-9]{2}-[0-9]{2}$")
                )'
            )
        )
    {%- else -%}
        (jsonb_typeof({{ value }}) = '{{ kind }}')
    {%- endif -%}
{%- endmacro %}
