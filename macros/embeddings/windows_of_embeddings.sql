{# A query that gives each embedding's key, the wanted columns, and the day_number of the row that
   would be the last of its window today. #}
{% macro windows_of_embeddings(embeddings, features, wanted) -%}
    select
        embeddings.entity_type,
        embeddings.entity_id,
        embeddings.as_of_date,
        embeddings.model_id,
        embeddings.window_days,

        {% for column in wanted -%}
        embeddings.{{ column }},
        {% endfor -%}
        -- The window of a day without trading ends with the trading day before it.
        coalesce(
            features.day_number,
            (
                select earlier.day_number
                from {{ features }} as earlier
                where
                    earlier.instrument_id = embeddings.entity_id
                    and earlier.trade_date <= embeddings.as_of_date
                order by earlier.trade_date desc
                limit 1
            )
        ) as day_number

    from {{ embeddings }} as embeddings
    left join {{ features }} as features
        on
            embeddings.entity_id = features.instrument_id
            and embeddings.as_of_date = features.trade_date
{%- endmacro %}
