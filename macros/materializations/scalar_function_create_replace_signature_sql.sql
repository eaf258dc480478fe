{# dbt's own signature of a function, with facts for the planner: the result is null for a null
   argument, the function is safe in a parallel query, and how many rows it gives, if its meta says so.

   A function in plpgsql reads tables. On Citus, the node that has a series may then ask the node that
   has its instrument. Elsewhere the setting is unknown, and only a superuser may set an unknown one. #}
{% macro scalar_function_create_replace_signature_sql(target_relation) %}
    {{ drop_renamed_function(target_relation) }}
    create or replace function {{ target_relation.render() }} ({{ formatted_scalar_function_args_sql() }})
    returns {{ model.returns.data_type }}
    {{ scalar_function_volatility_sql() }}
    strict
    parallel safe
    {% if model.config.meta.get('rows') -%}
    rows {{ model.config.meta.rows }}
    {% endif -%}
    {% if model.config.meta.get('language') == 'plpgsql' and has_citus() -%}
    set citus.allow_nested_distributed_execution = on
    {% endif -%}
    as
{% endmacro %}
