{# The table of a model or seed of this project, under its configured schema and alias. #}
{% macro relation_of(name) -%}
    {%- for node in graph.nodes.values() if node.package_name == 'regime_engine' and node.name == name -%}
        {{ return(api.Relation.create(schema=node.schema, identifier=node.alias)) }}
    {%- endfor -%}
{%- endmacro %}
