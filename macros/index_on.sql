{# A post-hook that gives a table an index, where it has none of the name: dbt's own `indexes` are
   made with the table alone. Asked for first, since `if not exists` would still wait for writers. #}
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
