with

prices as (

    select * from {{ ref('prices_checked') }}

),

accepted as (

    select
        instrument_id,
        trade_date,

        close,
        adjusted_close,
        volume,
        currency

    from prices
    where reason is null

)

select * from accepted
