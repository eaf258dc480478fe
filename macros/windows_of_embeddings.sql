{# A query: each embedding's key, what else of it is wanted, and the day_number of the last row of its
   window as it would be read today. #}
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
        -- A day without trading has the window of the trading day before it.
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
