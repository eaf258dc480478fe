{# In plpgsql, as market_of. The regimes are read first, because on Citus they may be in other shards than
   the embeddings of their instrument. #}
{% set regimes = ref('regimes').include(database=false).render() %}
{% set embeddings = ref('numeric_window_embeddings').include(database=false).render() %}
begin
    return query
    with

    classified as materialized (

        select
            stored.region,
            stored.as_of_date,
            stored.model_id,
            stored.window_days,
            stored.metadata,
            stored.run_id
        from {{ regimes }} as stored
        where
            stored.instrument_id = of_instrument_id
            and not {{ is_voted('stored.region') }}

    )

    select classified.*
    from classified
    where
        not exists (
            select 1
            from {{ embeddings }} as embeddings
            where
                embeddings.entity_type = 'INSTRUMENT'
                and embeddings.entity_id = of_instrument_id
                and embeddings.as_of_date = classified.as_of_date
                and embeddings.model_id = classified.model_id
                and embeddings.window_days = classified.window_days
        );
end
