{# A query for the week in which each instrument trades, and for its number of trading days a year,
   both seen from its dates. Annual figures and the comparison of calendars use no other rule.
   weekdays: a bit for each weekday, Monday's first, on which it has at least half as many prices as
   on its busiest weekday: so a few prices at weekends, or a few missing days, change nothing. If there
   are fewer than five and none at the weekend, prices are missing from the week of an exchange.
   trading_days_a_year: 365 for a market that never closes; 302 for six days a week and 252 for five,
   which both leave room for holidays; 52.18 for each weekday if there are fewer; and if there is less
   than a price every other weekday of its weeks, as with weekly or monthly prices, as many as it has.
   A history of less than eight weeks is taken for one of an exchange, if nothing speaks against it.
   days: a table of prices or features #}
{% macro trading_weeks(days) -%}
    {%- set bits = [1, 2, 4, 8, 16, 32, 64] -%}
    select
        instrument_id,
        first_date,
        last_date,

        case when weekday_count < 5 and weekdays < 32 then 31 else weekdays end as weekdays,
        case
            when weeks >= 8 and days < 2 * weeks
                then greatest(1, round(365.25 * (days - 1) / (last_date - first_date)))
            when weekday_count = 7 then 365
            when weekday_count = 6 then 302
            when weekday_count < 5 and weeks >= 8 then round(52.18 * weekday_count)
            else 252
        end::integer as trading_days_a_year

    from (

        select
            instrument_id,
            min(first_date) as first_date,
            max(last_date) as last_date,
            min(weeks) as weeks,
            min(days) as days,
            count(*) filter (where 2 * prices >= most_prices) as weekday_count,
            coalesce(bit_or(bit) filter (where 2 * prices >= most_prices), 0) as weekdays

        from (

            select
                of_a_weekday.instrument_id,
                of_a_weekday.first_date,
                of_a_weekday.last_date,
                of_a_weekday.weeks,
                of_a_weekday.days,

                weekday.bit,
                of_a_weekday.prices[weekday.place] as prices,
                (select max(each) from unnest(of_a_weekday.prices) as each) as most_prices

            from (

                select
                    instrument_id,
                    min(first_date) as first_date,
                    max(last_date) as last_date,
                    count(*) as weeks,
                    sum(days) as days,
                    array[
                        {% for bit in bits -%}
                        count(*) filter (where weekdays & {{ bit }} > 0){{ ',' if not loop.last }}
                        {% endfor %}
                    ] as prices
                from (

                    select
                        instrument_id,
                        min(trade_date) as first_date,
                        max(trade_date) as last_date,
                        count(*) as days,
                        bit_or({{ weekday_bit('trade_date') }}) as weekdays

                    from {{ days }}
                    group by instrument_id, (trade_date - '4714-11-24 BC'::date) / 7

                ) as of_a_week
                group by instrument_id

            ) as of_a_weekday
            cross join (
                values {% for bit in bits %}({{ loop.index }}, {{ bit }}){{ ', ' if not loop.last }}{% endfor %}
            ) as weekday (place, bit)

        ) as compared
        group by instrument_id

    ) as described
{%- endmacro %}
