{# delete+insert replaces keys that are still there; a price that was deleted, or that staging has
   come to refuse, takes its feature row with it here, in the same transaction. `--empty` reads no
   price at all, which is no reason to delete. #}
{% macro delete_vanished_features() %}
    {% if is_incremental() and not flags.EMPTY %}
        delete from {{ this }} as stored
        where not exists (
            select 1
            from {{ ref('stg_prices_daily') }} as prices
            where
                prices.instrument_id = stored.instrument_id
                and prices.trade_date = stored.trade_date
        )
    {% endif %}
{% endmacro %}
