{# In plpgsql, as market_of: Citus asks each node for this run's, where it would count those of all runs. #}
{% set embeddings = ref('numeric_window_embeddings').include(database=false).render() %}
begin
    return (
        select count(*)
        from {{ embeddings }} as stored
        where stored.run_id = of_run_id
    );
end
