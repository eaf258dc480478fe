{# Grants that let each role that may vacuum a partitioned table vacuum its partitions too. Postgres
   does not pass this privilege on to partitions. Before Postgres 17 the privilege does not exist,
   and this macro does nothing. #}
{% macro grant_maintain_of_partitions(relation) %}
    {%- if not execute -%} {{ return('') }} {%- endif -%}
    {%- set missing = run_query(
        "select leaf.relid::regclass::text, grantee::regrole::text"
        ~ " from pg_class cross join aclexplode(relacl)"
        ~ " cross join pg_partition_tree(pg_class.oid) as leaf"
        ~ " where pg_class.oid = '" ~ relation ~ "'::regclass and leaf.relid <> pg_class.oid"
        ~ " and grantee <> 0 and case when privilege_type = 'MAINTAIN'"
        ~ " then not has_table_privilege(grantee, leaf.relid, 'MAINTAIN') end"
    ) -%}
    {%- for partition, role in missing %}
    grant maintain on {{ partition }} to {{ role }};
    {%- endfor %}
{% endmacro %}
