{# dbt's own signature of a function, with two facts for the planner: the result is null for a null
   argument, and the function is safe in a parallel query. #}
{% macro scalar_function_create_replace_signature_sql(target_relation) %}
    create or replace function {{ target_relation.render() }} ({{ formatted_scalar_function_args_sql() }})
    returns {{ model.returns.data_type }}
    {{ scalar_function_volatility_sql() }}
    strict
    parallel safe
    as
{% endmacro %}
