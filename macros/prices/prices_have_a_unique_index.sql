{# Whether the table or view of prices has a unique index on exactly the instrument and the date. An index on a
   timestamp does not count, because two timestamps can be on the same day. #}
{% macro prices_have_a_unique_index(prices) %}
    {%- if not execute -%} {{ return(false) }} {%- endif -%}
    {%- set columns = var('prices_columns') -%}
    {%- set query %}
        select count(*)
        from pg_index
        where
            indrelid = to_regclass('{{ prices.include(database=false) }}')
            and indisunique
            and indisvalid
            and indpred is null
            and indnkeyatts = 2
            and 2 = (
                select count(*)
                from pg_attribute
                where
                    attrelid = indrelid
                    and attnum = any (indkey[0:1])
                    and (attname, atttypid::regtype) in (
                        ('{{ columns.instrument_id }}', 'text'::regtype),
                        ('{{ columns.instrument_id }}', 'character varying'::regtype),
                        ('{{ columns.trade_date }}', 'date'::regtype)
                    )
            )
    {% endset -%}
    {{ return(run_query(query)[0][0] > 0) }}
{% endmacro %}
