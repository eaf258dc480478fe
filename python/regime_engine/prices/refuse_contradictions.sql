-- If two good rows of a key differ, all good rows of the key are refused.
with

repeated as (

    select
        instrument_id,
        trade_date,
        min(line_number) as first_line
    from staged_prices
    where reason is null
    group by instrument_id, trade_date
    having count(*) > 1

),

compared as (

    select
        repeated.first_line,
        this.line_number,
        ({this}) is distinct from ({first}) as differs
    from repeated
    inner join staged_prices as first on first.line_number = repeated.first_line
    inner join staged_prices as this
        on this.instrument_id = repeated.instrument_id
        and this.trade_date = repeated.trade_date
    where this.reason is null

),

contradicted as (

    select
        first_line,
        min(line_number) as second_line
    from compared
    where differs
    group by first_line

)

update staged_prices
set reason = 'the same instrument and date with different values on line '
    || case when differs then first_line else second_line end
from compared
inner join contradicted using (first_line)
where staged_prices.line_number = compared.line_number
