{# In plpgsql, as market_of: so Citus counts the regimes of this run, and does not read all. #}
{% set regimes = ref('regimes').include(database=false).render() %}
begin
    return query
    select
        count(*)::integer,
        min(stored.as_of_date),
        max(stored.as_of_date)
    from {{ regimes }} as stored
    where stored.run_id = of_run_id;
end
