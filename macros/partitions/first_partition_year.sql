{# The first year that gets its own partition; none if the setting partition_embeddings is off. #}
{% macro first_partition_year() -%}
    {%- set year = setting('partition_embeddings') | string -%}
    {%- if year | lower in ('', 'false', 'no', '0') -%} {{ return(none) }} {%- endif -%}
    {%- if not modules.re.fullmatch('[12][0-9]{3}', year) -%}
        {{ exceptions.raise_compiler_error(
            "partition_embeddings is '" ~ year ~ "': say false, or the first year to partition by, "
            ~ "such as 1990"
        ) }}
    {%- endif -%}
    {{ return(year | int) }}
{%- endmacro %}
