{# dbt's own body of a function, in the language of its meta. #}
{% macro scalar_function_body_sql() %}
    $$
{{ model.compiled_code }}
    $$ language {{ model.config.meta.get('language', 'sql') }}
{% endmacro %}
