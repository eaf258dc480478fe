{# Grants the privileges in a model's `grants` to those of its roles that exist (`regime init
   --roles` creates them). It revokes nothing, so that a team keeps the grants that it made itself.
   The privilege `maintain`, which allows vacuum, exists since Postgres 17. The name is not
   postgres__apply_grants, because dbt does not look for that one in a package. #}
{% macro apply_grants(relation, grant_config, should_revoke=True) %}
    {% if grant_config and execute %}
        {% set found = run_query(
            "select rolname::text, current_setting('server_version_num')::integer from pg_roles"
        ) %}
        {% set roles, version = found.columns[0].values() | list, found[0][1] %}
        {% set granted = {} %}
        {% for privilege, grantees in grant_config.items() %}
            {% set known = grantees | select('in', roles) | list %}
            {% if known and (privilege != 'maintain' or version >= 170000) %}
                {% do granted.update({privilege: known}) %}
            {% endif %}
        {% endfor %}
        {% do dbt.default__apply_grants(relation, granted, should_revoke=False) %}
    {% endif %}
{% endmacro %}
