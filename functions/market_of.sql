{# The language is plpgsql, so that Postgres does not merge the query into the one around it. It would
   compute the windows of market_days over all instruments, and Citus would read whole tables. #}
{% set market_days = ref('market_days').include(database=false).render() %}
begin
    return query
    select *
    from {{ market_days }} as market
    where market.instrument_id = of_instrument_id;
end
