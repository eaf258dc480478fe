{# Grants what a model's `grants` says to those of its roles that there are (`regime init --roles`
   makes them), and takes nothing away: what a team grants by itself is its own affair.
   The privilege `maintain`, to vacuum, is there from Postgres 17 on.
   Not as postgres__apply_grants, which dbt does not look for in a package. #}
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
