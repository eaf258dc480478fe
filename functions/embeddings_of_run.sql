{# In plpgsql, as market_of: so Citus counts the embeddings of this run, and not of all. #}
{% set embeddings = ref('numeric_window_embeddings').include(database=false).render() %}
begin
    return (
        select count(*)
        from {{ embeddings }} as stored
        where stored.run_id = of_run_id
    );
end
