{# The language is plpgsql, so that Postgres does not merge the query into the one around it: it would
   compute the windows of market_days over all instruments, and Citus refuses a query that joins regimes
   of a region with the days of an instrument on another node. #}
{% set market_days = ref('market_days').include(database=false).render() %}
begin
    return query
    select *
    from {{ market_days }} as market
    where market.instrument_id = of_instrument_id;
end
