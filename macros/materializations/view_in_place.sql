{# A view that is replaced in place. dbt's own materialization drops the old view, and with it every
   view that a person built on it. If the columns changed in a way that Postgres cannot replace, the
   views on it that this command builds again are dropped with it; any other stops the build, with
   its name. A table of the view's name stops the build too: its rows may be someone's. #}
{% materialization view_in_place, adapter='postgres' %}

    {%- set existing = load_cached_relation(this) -%}
    {%- set target_relation = this.incorporate(type='view') -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% if existing is not none and not existing.is_view %}
        {{ exceptions.raise_compiler_error(
            this.include(database=false) ~ ' is a ' ~ existing.type ~ ' and should be a view of this '
            ~ 'project: rename or drop it'
        ) }}
    {% endif %}

    {% call statement('main') -%}
        {{ get_replace_or_create_view_sql(target_relation, sql) }}
    {%- endcall %}

    {% do apply_grants(
        target_relation, config.get('grants'), should_revoke(existing, full_refresh_mode=True)
    ) %}
    {% do persist_docs(target_relation, model) %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target_relation]}) }}

{% endmaterialization %}
