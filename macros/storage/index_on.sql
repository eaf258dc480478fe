{# A post-hook that creates an index if the table has none of that name. dbt's own `indexes` are
   only created together with the table. The hook looks for the index first, because `create index
   if not exists` waits for writers even if the index exists.
   expressions: name of a column in `columns` → the expression that is meant by it #}
{% macro index_on(columns, expressions={}) -%}
    {%- set name = adapter.quote(this.identifier ~ '_' ~ columns | join('_') ~ '_idx') -%}
    {%- set indexed = [] -%}
    {%- for column in columns -%}
        {%- do indexed.append(expressions.get(column, column)) -%}
    {%- endfor -%}
    do $index$
    begin
        if to_regclass('{{ this.include(database=false, identifier=false) }}.{{ name }}') is null then
            create index if not exists {{ name }} on {{ this }} ({{ indexed | join(', ') }});
        end if;
    end
    $index$
{%- endmacro %}
