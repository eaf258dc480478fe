with

embeddings as not materialized (

    select * from {{ ref('numeric_window_embeddings') }}

),

features as not materialized (

    select * from {{ ref('daily_features') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

window_rows as (

    select * from {{ ref('window_rows') }}

),

spans as (

    select
        embeddings.*,
        specified.first_trade_date,
        specified.last_trade_date,
        {{ count_or_null("embeddings.window_spec -> 'rows'") }} as window_rows,
        case embeddings.model_id
            {%- for model_id, encoder in var('encoders').items() %}
            when '{{ model_id }}' then {{ encoder.dimension }}
            {%- endfor %}
        end as expected_dimension

    from embeddings
    cross join lateral (

        select
            {{ day_or_null("embeddings.window_spec -> 'first_trade_date'") }} as first_trade_date,
            {{ day_or_null("embeddings.window_spec -> 'last_trade_date'") }} as last_trade_date
        -- Reads the days once per window, not at each mention.
        offset 0 -- noqa: AM09, PRS

    ) as specified

),

-- A join names the instrument of both sides. A filter on the instrument then reaches either table,
-- and a distributed Postgres asks one node.
hashed as (

    select
        spans.*,
        today.window_hash_today,
        coalesce(today.window_rows_today, 0) as window_rows_today,
        added.instrument_id is not null as is_followed_by_a_day

    from spans
    left join lateral (

        select
            features.instrument_id,
            lpad(to_hex(bit_xor(features.feature_hash)), 16, '0') as window_hash_today,
            count(*)::integer as window_rows_today

        from features
        where
            features.instrument_id = spans.entity_id
            and features.trade_date >= spans.first_trade_date
            and features.trade_date <= spans.last_trade_date
        group by features.instrument_id

    ) as today on spans.entity_id = today.instrument_id
    left join lateral (

        select features.instrument_id
        from features
        where
            spans.last_trade_date < spans.as_of_date
            and features.instrument_id = spans.entity_id
            and features.trade_date > spans.last_trade_date
            and features.trade_date <= spans.as_of_date
        group by features.instrument_id

    ) as added on spans.entity_id = added.instrument_id

),

judged as (

    select
        *,
        case
            when window_rows_today = 0 then 'missing'
            when (window_hash = window_hash_today) is not true then 'restated'
            -- A day got a price after its window was read.
            when is_followed_by_a_day then 'restated'
            else 'current'
        end as status

    from hashed

),

compared as (

    select
        judged.*,
        changed.changed_days

    from judged
    left join lateral (

        select
            window_rows.entity_id,
            array_agg(window_rows.trade_date order by window_rows.trade_date) as changed_days

        from window_rows
        where
            judged.status = 'restated'
            and window_rows.entity_type = judged.entity_type
            and window_rows.entity_id = judged.entity_id
            and window_rows.as_of_date = judged.as_of_date
            and window_rows.model_id = judged.model_id
            and window_rows.window_days = judged.window_days
            and window_rows.is_changed
        group by window_rows.entity_id

    ) as changed on judged.entity_id = changed.entity_id

),

checked as (

    select
        entity_type,
        entity_id,
        as_of_date,
        model_id,
        window_days,

        status,
        changed_days,
        array_remove(
            array[
                case
                    when expected_dimension is null then 'the encoder is not in the var encoders'
                    when
                        dimension <> expected_dimension
                        or octet_length(vector) <> 4 * expected_dimension
                        then 'dimension: not what the encoder gives'
                end,
                case
                    when {{ has_non_finite_float32('vector') }}
                        then 'vector: a number is not finite'
                end,
                case
                    when {{ embedding_hash() }} <> row_hash
                        then 'row: not as it was written'
                end,
                case
                    when (
                        first_trade_date < last_trade_date
                        and last_trade_date <= as_of_date
                        and window_rows = window_days
                    ) is not true then 'window: ends after its date, or has another length'
                end
            ],
            null
        ) as faults,

        dimension,
        expected_dimension,
        octet_length(vector) as vector_bytes,
        not {{ has_non_finite_float32('vector') }} as is_finite,
        {{ function('euclidean_norm') }}({{ function('float32_array') }}(vector)) as norm,

        first_trade_date,
        last_trade_date,
        window_rows,
        window_rows_today,
        window_hash,
        window_hash_today,

        run_id

    from compared

),

-- Those that can have regimes. They are not read from the regimes, which a distributed Postgres may
-- have on other nodes than the embeddings.
instruments as (

    select instrument_id from features

    union

    select entity_id as instrument_id from embeddings
    where entity_type = 'INSTRUMENT'

    union

    select parameters ->> 'instrument_id' as instrument_id from runs

),

-- Windows of regimes for which no embedding is stored.
absent as (

    select
        'INSTRUMENT' as entity_type,
        instruments.instrument_id as entity_id,
        regimes.as_of_date,
        regimes.model_id,
        regimes.window_days,

        'missing' as status,
        null::date[] as changed_days,
        array['embedding: none is stored for the regime of ' || regimes.region] as faults,

        null::integer as dimension,
        null::integer as expected_dimension,
        null::integer as vector_bytes,
        null::boolean as is_finite,
        null::double precision as norm,

        {{ day_or_null("regimes.metadata -> 'first_trade_date'") }} as first_trade_date,
        {{ day_or_null("regimes.metadata -> 'last_trade_date'") }} as last_trade_date,
        null::integer as window_rows,
        null::integer as window_rows_today,
        null as window_hash,
        null as window_hash_today,

        regimes.run_id

    from instruments
    cross join lateral (

        select * from {{ function('regimes_without_a_window') }}(instruments.instrument_id)

    ) as regimes

),

all_windows as (

    select * from checked

    union all

    select * from absent

)

select * from all_windows
