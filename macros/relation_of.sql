{# The table of a model or seed of this project, wherever its schema and its alias put it. #}
{% macro relation_of(name) -%}
    {%- for node in graph.nodes.values() if node.package_name == 'regime_engine' and node.name == name -%}
        {{ return(api.Relation.create(schema=node.schema, identifier=node.alias)) }}
    {%- endfor -%}
{%- endmacro %}
