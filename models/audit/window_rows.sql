with

embeddings as (

    select
        *,
        {{ day_or_null("window_spec -> 'first_trade_date'") }} as first_trade_date,
        {{ day_or_null("window_spec -> 'last_trade_date'") }} as last_trade_date

    from {{ ref('numeric_window_embeddings') }}

),

features as (

    select * from {{ ref('daily_features') }}

),

in_place as (

    select
        embeddings.entity_type,
        embeddings.entity_id,
        embeddings.as_of_date,
        embeddings.model_id,
        embeddings.window_days,

        features.place,
        features.trade_date,

        features.close,
        features.volume,
        features.log_return,
        features.adjusted_close,
        features.adjusted_log_return,
        features.relative_log_volume,
        features.log_range,
        features.overnight_gap,

        {{ encoded_return('embeddings.model_id', 'decoded.numbers', 'features.place') }}
            as encoded_log_return,
        case
            when embeddings.model_id in ('num-regime-core-v2', 'num-regime-core-v3')
                then decoded.numbers[126 + features.place]
            else decoded.numbers[3 * features.place - 1]
        end::double precision as encoded_volume,
        case
            when embeddings.model_id = 'num-regime-core-v3'
                then {{ encoded_or_null('decoded.numbers[189 + features.place]') }}
        end::double precision as encoded_log_range,
        case
            when embeddings.model_id = 'num-regime-core-v3'
                then {{ encoded_or_null('decoded.numbers[290 + features.place]') }}
        end::double precision as encoded_overnight_gap,
        -- A deleted or added day moves the rows on one side of it, so places count from both ends.
        -- The linter takes this `not` for a function.
        not ( -- noqa: LT01, LT06
            {{ window_row_agrees('embeddings.model_id', 'decoded.numbers', 'features.place') }}
            or {{ window_row_agrees(
                'embeddings.model_id',
                'decoded.numbers',
                'features.place + embeddings.window_days - features.window_rows',
            ) }}
        ) as is_changed

    from embeddings
    inner join lateral (

        select {{ function('float32_array') }}(embeddings.vector) as numbers
        -- Decodes once per window, not once per row.
        offset 0 -- noqa: AM09, PRS

    ) as decoded on true
    inner join lateral (

        select
            features.*,
            row_number() over instrument_days::integer as place,
            count(*) over instrument::integer as window_rows

        from features
        where
            features.instrument_id = embeddings.entity_id
            and features.trade_date >= embeddings.first_trade_date
            and features.trade_date <= embeddings.last_trade_date
        window
            instrument as (partition by features.instrument_id),
            instrument_days as (instrument order by features.trade_date)

    -- A filter on the instrument then reaches the features, as in embedding_integrity.
    ) as features on embeddings.entity_id = features.instrument_id
    where embeddings.entity_type = 'INSTRUMENT'

)

select * from in_place
