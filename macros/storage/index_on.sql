{# A post-hook that creates an index if the table has none of that name. dbt's own `indexes` are
   only created together with the table. The hook looks for the index first, because `create index
   if not exists` waits for writers even if the index exists. #}
{% macro index_on(columns) -%}
    {%- set name = adapter.quote(this.identifier ~ '_' ~ columns | join('_') ~ '_idx') -%}
    do $index$
    begin
        if to_regclass('{{ this.include(database=false, identifier=false) }}.{{ name }}') is null then
            create index if not exists {{ name }} on {{ this }} ({{ columns | join(', ') }});
        end if;
    end
    $index$
{%- endmacro %}
