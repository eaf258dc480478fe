{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['instrument_id', 'trade_date'],
    on_schema_change='append_new_columns',
    contract={'enforced': true},
    pre_hook='set transaction isolation level repeatable read',
    post_hook="{{ delete_vanished_features() }}"
) }}

{# An incremental build finds, by instrument, the first day on which prices and stored features
   differ, computes from there on (252 rows earlier for the mean of the volume), and writes the
   rows whose values changed: the table always equals a full rebuild. Its statements all see the
   prices of one moment (repeatable read), whatever is loaded meanwhile. #}

with

-- Not materialized: used twice, and each use wants its own index scan.
prices as not materialized (

    select * from {{ ref('stg_prices_daily') }}

),

{% if is_incremental() %}

stored as not materialized (

    select * from {{ this }}

),

changes as (

    select
        instrument_id,
        min(trade_date) as changed_from

    from prices
    full join stored using (instrument_id, trade_date)
    where
        (prices.close, prices.adjusted_close, prices.volume)
        is distinct from (stored.close, stored.adjusted_close, stored.volume)
    group by instrument_id

),

-- Materialized: one look-up an instrument, where the planner would make it one a price.
stretches as materialized (

    select
        changes.instrument_id,
        changes.changed_from,
        coalesce(before.first_date, '-infinity') as read_from,
        coalesce(before.first_day_number, 1) as first_day_number

    from changes
    cross join lateral (

        select
            min(preceding.trade_date) as first_date,
            min(preceding.day_number) as first_day_number

        from (

            select
                stored.trade_date,
                stored.day_number

            from stored
            where
                stored.instrument_id = changes.instrument_id
                and stored.trade_date < changes.changed_from
            order by stored.trade_date desc
            limit {{ volume_history_days() }}

        ) as preceding

    ) as before

),

{% else %}

stretches as (

    select distinct
        instrument_id,
        '-infinity'::date as changed_from,
        '-infinity'::date as read_from,
        1 as first_day_number

    from prices

),

{% endif %}

observed as (

    select
        prices.instrument_id,
        prices.trade_date,
        stretches.changed_from,

        prices.close,
        prices.adjusted_close,
        prices.volume,

        ln(prices.close / lag(prices.close) over instrument) as log_return,
        ln(prices.adjusted_close / lag(prices.adjusted_close) over instrument)
            as adjusted_log_return,
        {{ usual_log_volume('prices.volume', 'instrument') }} as usual_log_volume,
        (stretches.first_day_number - 1 + row_number() over instrument)::integer as day_number

    from stretches
    inner join prices
        on
            stretches.instrument_id = prices.instrument_id
            and stretches.read_from <= prices.trade_date
    window instrument as (partition by prices.instrument_id order by prices.trade_date)

),

featured as (

    select
        instrument_id,
        trade_date,

        close,
        volume,
        log_return,
        adjusted_close,
        adjusted_log_return,
        case
            when volume is null or usual_log_volume is null then 0
            -- The limit of ln(volume): a day without a trade is as quiet as the clip allows.
            when volume = 0 then -3
            else greatest(-3, least(3, ln(volume) - usual_log_volume))
        end::double precision as relative_log_volume,
        day_number

    from observed
    where trade_date >= changed_from

){% if is_incremental() %},

different as (

    select featured.*

    from featured
    left join stored
        on
            featured.instrument_id = stored.instrument_id
            and featured.trade_date = stored.trade_date
    where
        (
            featured.close, featured.volume, featured.log_return,
            featured.adjusted_close, featured.adjusted_log_return,
            featured.relative_log_volume, featured.day_number
        ) is distinct from (
            stored.close, stored.volume, stored.log_return,
            stored.adjusted_close, stored.adjusted_log_return,
            stored.relative_log_volume, stored.day_number
        )

)

select * from different
{% else %}

select * from featured
{% endif %}
