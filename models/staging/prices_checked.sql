-- No CTEs here: Postgres flattens a view only if it has none, and only then does the index of the
-- prices answer `order by trade_date desc limit 1`.
select
    instrument_id,
    trade_date,

    close,
    coalesce(given_adjusted_close, close) as adjusted_close,
    volume,
    case when range_fault is null then open end as open,
    case when range_fault is null then ln(high / low) end as log_range,
    currency,
    loaded_at,

    range_fault,
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
                    {{ price_column('instrument_id', 'text') }} = judged.instrument_id
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
        *,
        case
            -- Nearly every day ends here.
            when
                low >= 1e-100 and high <= 1e100
                and close between low and high and coalesce(open, close) between low and high
                then null
            {%- for name in ['open', 'high', 'low'] %}
            when {{ name }} in ('NaN', 'Infinity', '-Infinity') then '{{ name }} is not finite'
            when {{ name }} <= 0 then '{{ name }} is not positive'
            when {{ name }} not between 1e-100 and 1e100 then '{{ name }} is out of range'
            {%- endfor %}
            when high < low then 'high is below low'
            {%- for name in ['close', 'open'] %}
            when {{ is_outside_the_range(name) }} then '{{ name }} is below low or above high'
            {%- endfor %}
        end as range_fault

    from (

        select
            {{ price_column('instrument_id', 'text') }} as instrument_id,
            {{ price_column('trade_date', 'date') }} as trade_date,

            {{ price_column('close', 'double precision') }} as close,
            {{ price_column('adjusted_close', 'double precision') }} as given_adjusted_close,
            -- A negative zero becomes zero.
            {{ price_column('volume', 'double precision') }} + 0 as volume,
            -- Many sources write 0 if they know no opening price.
            nullif({{ price_column_if_there('open', 'double precision') }}, 0) as open,
            {{ price_column_if_there('high', 'double precision') }} as high,
            {{ price_column_if_there('low', 'double precision') }} as low,
            {{ price_column('currency', 'text') }} as currency,
            {{ price_column('loaded_at', 'timestamp with time zone') }} as loaded_at

        from {{ prices() }}

    ) as typed

) as judged
