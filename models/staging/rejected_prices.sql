with

prices as (

    select * from {{ ref('prices_checked') }}

),

rejected as (

    select
        instrument_id,
        trade_date,

        close,
        adjusted_close,
        volume,
        currency,
        loaded_at,
        reason

    from prices
    where reason is not null

)

select * from rejected
