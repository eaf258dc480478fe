{# As price_column, and null too if the column has our own name and the table of prices does not have it:
   a team may have no such prices. A name of the team's own must be there. #}
{% macro price_column_if_there(name, type) -%}
    {%- set present = adapter.get_columns_in_relation(prices()) | map(attribute='name') | list
        if execute else [] -%}
    {%- if var('prices_columns').get(name) == name and present and name not in present -%}
        null::{{ type }}
    {%- else -%}
        {{ price_column(name, type) }}
    {%- endif -%}
{%- endmacro %}
