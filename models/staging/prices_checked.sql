-- No CTEs here: Postgres flattens a view only if it has none, and only then does the index of the
-- prices answer `order by trade_date desc limit 1`.
select
    instrument_id,
    trade_date,

    close,
    coalesce(given_adjusted_close, close) as adjusted_close,
    volume,
    currency,
    loaded_at,

    -- NaN is greater than every number in Postgres, so `> 0` alone would let it through. A price
    -- out of range is refused because the quotient of two such prices can overflow, which would end
    -- every build.
    case
        when instrument_id is null then 'instrument_id is missing'
        when trade_date is null then 'trade_date is missing'
        when not isfinite(trade_date) then 'trade_date is not finite'
        when close is null then 'close is missing'
        when close in ('NaN', 'Infinity', '-Infinity') then 'close is not finite'
        when close <= 0 then 'close is not positive'
        when close not between 1e-100 and 1e100 then 'close is out of range'
        when given_adjusted_close in ('NaN', 'Infinity', '-Infinity')
            then 'adjusted_close is not finite'
        when given_adjusted_close <= 0 then 'adjusted_close is not positive'
        when given_adjusted_close not between 1e-100 and 1e100
            then 'adjusted_close is out of range'
        when volume in ('NaN', 'Infinity', '-Infinity') then 'volume is not finite'
        when volume < 0 then 'volume is negative'
        {% if var('prices_columns').get('adjusted_close') -%}
        -- Otherwise a return from a close to an adjusted close would be taken for the market's.
        -- `::integer = 1` lets the planner expect few such rows, so that it looks at them once for
        -- all instruments if it reads many rows, and for each instrument if it reads few.
        when
            given_adjusted_close is null
            and exists (
                select 1
                from {{ prices() }}
                where
                    {{ price_column('instrument_id', 'text') }} = typed.instrument_id
                    and {{ price_column('adjusted_close', 'double precision') }} is not null
                    and (
                        {{ price_column('adjusted_close', 'double precision') }}
                        between 1e-100 and 1e100
                    )::integer = 1
            )
            then 'adjusted_close is missing, and other days of the instrument have one'
        {%- endif %}
    end as reason

from (

    select
        {{ price_column('instrument_id', 'text') }} as instrument_id,
        {{ price_column('trade_date', 'date') }} as trade_date,

        {{ price_column('close', 'double precision') }} as close,
        {{ price_column('adjusted_close', 'double precision') }} as given_adjusted_close,
        -- A negative zero becomes zero.
        {{ price_column('volume', 'double precision') }} + 0 as volume,
        {{ price_column('currency', 'text') }} as currency,
        {{ price_column('loaded_at', 'timestamp with time zone') }} as loaded_at

    from {{ prices() }}

) as typed
