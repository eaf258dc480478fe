{# Drops a function whose arguments have other names than before, since Postgres does not replace it. #}
{% macro drop_renamed_function(target_relation) %}
    {%- set argument_names = model.arguments | map(attribute='name') | join(',') -%}
    {%- set schema = target_relation.include(database=false, identifier=false) | string -%}
    do $drop$
    declare
        outdated regprocedure;
    begin
        for outdated in
            select oid from pg_proc
            where
                pronamespace = to_regnamespace('{{ schema | replace("'", "''") }}')
                and proname = '{{ target_relation.identifier }}'
                and proargnames[1:pronargs] <> string_to_array('{{ argument_names }}', ',')
        loop
            execute format('drop function %s', outdated);
        end loop;
    end
    $drop$;
{% endmacro %}
