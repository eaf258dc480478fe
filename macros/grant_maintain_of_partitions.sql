{# Who may vacuum a partitioned table may vacuum its partitions: Postgres does not hand that down, as it
   does the right to read. Before Postgres 17 there is no such privilege, and nothing to do. #}
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
