{# dbt's own not_null returns only the column, which is null in every row that it finds. #}
{% test not_null(model, column_name) %}

select * from {{ model }}
where {{ column_name }} is null

{% endtest %}
