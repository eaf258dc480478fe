-- depends_on: {{ ref('prices_checked') }}

{{ config(
    materialized='incremental',
    incremental_strategy='changed_rows',
    unique_key=['instrument_id', 'trade_date'],
    never_null='close',
    full_refresh=false,
    on_schema_change='append_new_columns',
    contract={'enforced': true},
    indexes=[{'columns': ['loaded_at']}],
    pre_hook=[
        'set transaction isolation level repeatable read',
        "{{ add_column_if_missing(this, 'open', 'double precision') }}",
        "{{ add_column_if_missing(this, 'log_range', 'double precision') }}"
    ]
) }}

{# An incremental build finds, for each instrument, the first day on which prices and stored
   features differ. It computes the features from that day on (reading 252 earlier rows for the mean
   of the volume) and returns the rows that changed and the keys of rows whose price is gone, so
   that the table always equals a full rebuild. If the setting features_changes is `loaded`, it
   looks for that day only among newly loaded prices. All statements see the prices of one moment
   (repeatable read), whatever is loaded meanwhile. With `--empty` no price is read, and nothing is
   deleted. With `--full-refresh` the rows are computed as in a first build, and replaced in place:
   for dbt it is an incremental build too, because its own full refresh drops the table, and with it
   the views that read it. #}

{%- set compares = is_incremental() and not flags.FULL_REFRESH %}
{%- set looks_at_loads = setting('features_changes') == 'loaded' %}
{%- if setting('features_changes') not in ('all', 'loaded') and execute -%}
    {{ exceptions.raise_compiler_error("features_changes is neither all nor loaded") }}
{%- elif looks_at_loads and execute and not var('prices_columns').get('loaded_at') -%}
    {{ exceptions.raise_compiler_error(
        "features_changes: loaded needs the column of load times in prices_columns.loaded_at"
    ) }}
{%- endif %}
{#- The earliest date in Postgres. #}
{%- set first_day = "'4713-11-24 BC'::date" %}

with

-- Not materialized, because it is used twice and each use needs its own index scan.
prices as not materialized (

    select * from {{ ref('stg_prices_daily') }}

),

{% if compares %}

stored as not materialized (

    select * from {{ this }}

),

{% if looks_at_loads %}

-- A price becomes visible when its load commits, but loaded_at is when the load began; the margin
-- covers the difference. A load time in the future would hide later loads.
known_loads as (

    select
        coalesce(max(loaded_at) - interval '{{ var("features_margin") }}', '-infinity')
            as loaded_from

    from stored
    where loaded_at <= now()

),

checked as (

    select * from {{ ref('prices_checked') }}

),

changed_prices as (

    select
        checked.instrument_id,
        min(checked.trade_date) filter (
            where case
                when checked.reason is not null then stored.instrument_id is not null
                else
                    (
                        checked.close, checked.adjusted_close, checked.volume,
                        checked.open, checked.log_range
                    ) is distinct from (
                        stored.close, stored.adjusted_close, stored.volume,
                        stored.open, stored.log_range
                    )
            end
        ) as changed_from

    from checked
    left join stored
        on
            checked.instrument_id = stored.instrument_id
            and checked.trade_date = stored.trade_date
    where {{ is_at_or_after('checked.loaded_at', 'select loaded_from from known_loads') }}
    group by checked.instrument_id

),

-- A load that makes an instrument adjusted, or no longer adjusted, changes which of its older rows
-- staging refuses: then its first usable price is another. Materialized, so that each look-up is made
-- once.
first_days as materialized (

    select
        instrument_id,
        changed_from,
        (

            select prices.trade_date
            from prices
            where prices.instrument_id = changed_prices.instrument_id
            order by prices.trade_date
            limit 1

        ) as first_priced,
        (

            select stored.trade_date
            from stored
            where stored.instrument_id = changed_prices.instrument_id
            order by stored.trade_date
            limit 1

        ) as first_stored

    from changed_prices

),

changes as (

    select
        instrument_id,
        case
            when first_priced is distinct from first_stored
                then least(first_priced, first_stored)
            else changed_from
        end as changed_from

    from first_days
    where changed_from is not null or first_priced is distinct from first_stored

),

{% else %}

both_sides as (

    select
        instrument_id,
        trade_date,
        1 as balance,
        {{ price_hash() }} as price_hash

    from prices

    union all

    select
        instrument_id,
        trade_date,
        -1 as balance,
        {{ price_hash() }} as price_hash

    from stored

),

-- Stretches of 64 days are compared by sums, which takes one scan of each side and no join of all
-- rows.
different_stretches as (

    select
        instrument_id,
        (trade_date - {{ first_day }}) / 64 as stretch_number

    from both_sides
    group by instrument_id, stretch_number
    having bit_xor(price_hash) <> 0 or sum(balance) <> 0

),

changes as (

    select
        instrument_id,
        {{ first_day }} + 64 * min(stretch_number) as changed_from

    from different_stretches
    group by instrument_id

),

{% endif %}

-- Materialized, so that there is one look-up per instrument; the planner would make one per price.
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
        prices.open,
        prices.log_range,

        ln(prices.close / lag(prices.close) over instrument) as log_return,
        ln(prices.adjusted_close / lag(prices.adjusted_close) over instrument)
            as adjusted_log_return,
        {{ usual_log_volume('prices.volume', 'instrument') }} as usual_log_volume,
        (stretches.first_day_number - 1 + row_number() over instrument)::integer as day_number,
        prices.loaded_at

    from stretches
    inner join prices
        on
            stretches.instrument_id = prices.instrument_id
            and stretches.read_from <= prices.trade_date
            and {{
                is_at_or_after('prices.trade_date', 'select min(read_from) from stretches')
                if compares else 'true'
            }}
    window instrument as (partition by prices.instrument_id order by prices.trade_date)

),

featured as (

    select
        instrument_id,
        trade_date,

        close,
        volume,
        open,
        log_return,
        adjusted_close,
        adjusted_log_return,
        case
            when volume is null or usual_log_volume is null then 0
            -- ln(0) is minus infinity, which is clipped to -3.
            when volume = 0 then -3
            else greatest(-3, least(3, ln(volume) - usual_log_volume))
        end::double precision as relative_log_volume,
        log_range,
        adjusted_log_return - ln(close / open) as overnight_gap,
        day_number,
        loaded_at

    from observed
    where trade_date >= changed_from

),

hashed as (

    select
        *,
        {{ feature_hash() }} as feature_hash

    from featured

){% if compares %},

replaced as (

    select stored.*

    from stretches
    inner join stored
        on
            stretches.instrument_id = stored.instrument_id
            and stretches.changed_from <= stored.trade_date
            and {{ is_at_or_after('stored.trade_date', 'select min(changed_from) from stretches') }}

),

-- All columns but the key are null in a row whose price is gone.
different as (

    select
        instrument_id,
        trade_date,

        featured.close,
        featured.volume,
        featured.open,
        featured.log_return,
        featured.adjusted_close,
        featured.adjusted_log_return,
        featured.relative_log_volume,
        featured.log_range,
        featured.overnight_gap,
        featured.day_number,
        featured.loaded_at,
        featured.feature_hash

    from hashed as featured
    full join replaced using (instrument_id, trade_date)
    where
        (
            featured.close, featured.volume, featured.open, featured.log_return,
            featured.adjusted_close, featured.adjusted_log_return, featured.relative_log_volume,
            featured.log_range, featured.overnight_gap, featured.day_number
        ) is distinct from (
            replaced.close, replaced.volume, replaced.open, replaced.log_return,
            replaced.adjusted_close, replaced.adjusted_log_return, replaced.relative_log_volume,
            replaced.log_range, replaced.overnight_gap, replaced.day_number
        )

)

select * from different
{%- if flags.EMPTY %}
where false
{%- endif %}
{% else %}

select * from hashed
{% endif %}
