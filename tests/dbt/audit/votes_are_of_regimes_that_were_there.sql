{# A later classification, another weight or a removed region make a vote outdated, and
   votes_are_of_todays_regimes warns of that. A vote cannot be of regimes that never were, and it cannot
   leave out one that was there when it was counted. #}
with

regimes as not materialized (

    select * from {{ ref('regimes') }}

),

revisions as (

    select * from {{ ref('regime_revisions') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

votes as materialized (

    select
        regimes.region,
        regimes.as_of_date,
        regimes.model_id,
        regimes.window_days,

        case
            when jsonb_typeof(regimes.metadata -> 'constituents') = 'array'
                then regimes.metadata -> 'constituents'
            else '[]'
        end as listed,
        case
            when jsonb_typeof(regimes.metadata -> 'labels') = 'array'
                then regimes.metadata -> 'labels'
            else '[]'
        end as labels,
        {{ function('float32_array') }}(regimes.regime_embedding) as numbers,
        regimes.run_id,
        runs.parameters -> 'weights' as weights,
        runs.started_at

    from regimes
    inner join runs on regimes.run_id = runs.run_id
    where {{ is_voted('regimes.region') }}

),

constituents as materialized (

    select
        votes.region,
        votes.as_of_date,
        votes.model_id,
        votes.window_days,

        votes.labels,
        votes.numbers,
        votes.run_id,
        votes.weights,
        listed.place,
        listed.value as stated,
        listed.value ->> 'region' as voter,
        {{ day_or_null("(listed.value -> 'as_of_date')") }} as voter_date,
        {{ uuid_or_null("(listed.value -> 'run_id')") }} as voter_run_id

    from votes
    cross join lateral jsonb_array_elements(votes.listed) with ordinality as listed (value, place)

),

-- What the regions' regimes were: in force, or replaced since.
were as (

    select
        region,
        as_of_date,
        model_id,
        window_days,
        run_id,

        to_jsonb(regime_label) as regime_label,
        coalesce(to_jsonb(expected_volatility), 'null') as expected_volatility,
        probabilities

    from regimes
    where not {{ is_voted('region') }}

    union all

    select
        old_row ->> 'region' as region,
        {{ day_or_null("(old_row -> 'as_of_date')") }} as as_of_date,
        old_row ->> 'model_id' as model_id,
        {{ count_or_null("(old_row -> 'window_days')") }} as window_days,
        {{ uuid_or_null("(old_row -> 'run_id')") }} as run_id,

        old_row -> 'regime_label' as regime_label,
        old_row -> 'expected_volatility' as expected_volatility,
        old_row -> 'probabilities' as probabilities

    from revisions
    where
        table_name = 'regimes'
        and not {{ is_voted("(old_row ->> 'region')") }}

),

-- The runs of which `regime forget` removed rows.
forgotten as (

    select distinct of_run.key as run_id

    from runs
    cross join lateral jsonb_each({{ object_or_empty('runs.rows_removed') }}) as removed
    cross join lateral jsonb_object_keys({{ object_or_empty('removed.value') }}) as of_run (key)
    where runs.command = 'forget'

),

compared as (

    select
        constituents.*,

        were.region is not null as is_found,
        were.regime_label,
        were.expected_volatility,
        voter_runs.status as status_of_run,
        forgotten.run_id is not null as is_forgotten,
        case
            when were.region is not null
                then
                    exists (
                        select 1
                        from
                            jsonb_array_elements_text(constituents.labels)
                            with ordinality as label (value, place)
                        where
                            coalesce(
                                constituents.numbers[
                                    (constituents.place - 1)
                                    * jsonb_array_length(constituents.labels)
                                    + label.place
                                ]
                                <> coalesce(
                                    {{ probability_or_null('were.probabilities -> label.value') }},
                                    0
                                ),
                                true
                            )
                    )
        end as has_other_probabilities

    from constituents
    left join were
        on
            constituents.voter = were.region
            and constituents.voter_date = were.as_of_date
            and constituents.model_id = were.model_id
            and constituents.window_days = were.window_days
            and constituents.voter_run_id = were.run_id
    left join runs as voter_runs
        on constituents.voter_run_id = voter_runs.run_id
    left join forgotten
        on constituents.stated ->> 'run_id' = forgotten.run_id

),

faults_of_constituents as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        case
            when voter is null or voter_date is null or voter_run_id is null
                then 'it does not say which regime was voted on'
            when voter_date > as_of_date or voter_date < as_of_date - 7
                then 'a regime is too old to be voted on, or of a later day'
            when weights is not null and coalesce(weights -> voter <> stated -> 'weight', true)
                then 'the run voted with another weight'
            -- The next run takes over the regimes of a run that failed.
            when
                not is_found
                and not is_forgotten
                and coalesce(status_of_run, 'SUCCEEDED') = 'SUCCEEDED'
                then 'no such regime was stored, nor replaced'
            when is_found and coalesce(stated -> 'regime_label' <> regime_label, true)
                then 'the regime that was voted on had another label'
            when is_found and coalesce(stated -> 'expected_volatility' <> expected_volatility, true)
                then 'the regime that was voted on had another expected volatility'
            when is_found and has_other_probabilities
                then 'the regime that was voted on had other probabilities'
        end as fault,
        stated as constituent,
        run_id

    from compared

),

faults_of_days as (

    select
        region,
        as_of_date,
        model_id,
        window_days,

        'no region traded on the day' as fault,
        null::jsonb as constituent,
        run_id

    from votes
    where
        not listed @> jsonb_build_array(
            jsonb_build_object('as_of_date', to_char(as_of_date, 'YYYY-MM-DD'))
        )

),

-- The last vote of a series, unless its rows were forgotten or voted on anew since.
last_votes as (

    select * from (

        select distinct on (model_id, parameters -> 'window_days')
            run_id,
            parameters ->> 'region' as region,
            model_id,
            {{ count_or_null("(parameters -> 'window_days')") }} as window_days,
            parameters -> 'weights' as weights,
            started_at

        from runs
        where
            command = 'global'
            and status = 'SUCCEEDED'
        order by model_id, parameters -> 'window_days', started_at desc

    ) as voted
    where
        not exists (
            select 1
            from runs as forgets
            where
                forgets.command = 'forget'
                and forgets.started_at > voted.started_at
        )

),

series as (

    select
        model_id,
        window_days
    from votes

    union

    select
        model_id,
        window_days
    from last_votes

),

-- The regimes that are in force, on each day on which they count.
voters as materialized (

    select
        in_force.*,
        day.value::date as day

    from (

        select
            regimes.region,
            regimes.as_of_date,
            regimes.model_id,
            regimes.window_days,
            regimes.run_id,

            runs.finished_at,
            lead(regimes.as_of_date) over (
                partition by regimes.region, regimes.model_id, regimes.window_days
                order by regimes.as_of_date
            ) as next_date

        from regimes
        inner join series
            on
                regimes.model_id = series.model_id
                and regimes.window_days = series.window_days
        inner join runs on regimes.run_id = runs.run_id
        where
            not {{ is_voted('regimes.region') }}
            and {{ is_of_trading_day() }}

    ) as in_force
    cross join lateral generate_series(
        in_force.as_of_date::timestamp,
        least(in_force.as_of_date + 7, in_force.next_date - 1)::timestamp,
        interval '1 day'
    ) as day (value)

),

-- What a vote had to count: the run of the regime had ended before that of the vote began. A later
-- regime of the region, which was removed since, may have been in its place.
left_out as (

    select
        votes.region,
        votes.as_of_date,
        votes.model_id,
        votes.window_days,

        'a regime that was there was not voted on' as fault,
        jsonb_build_object(
            'region', voters.region,
            'as_of_date', voters.as_of_date,
            'run_id', voters.run_id
        ) as constituent,
        votes.run_id

    from votes
    inner join voters
        on
            votes.model_id = voters.model_id
            and votes.window_days = voters.window_days
            and votes.as_of_date = voters.day
            and votes.started_at > voters.finished_at
            and votes.weights ? voters.region
    left join constituents
        on
            votes.as_of_date = constituents.as_of_date
            and votes.model_id = constituents.model_id
            and votes.window_days = constituents.window_days
            and voters.region = constituents.voter
            and (
                voters.as_of_date < constituents.voter_date
                or (
                    voters.as_of_date = constituents.voter_date
                    and voters.run_id = constituents.voter_run_id
                )
            )
    where constituents.voter is null

),

without_a_vote as (

    select distinct
        last_votes.region,
        voters.as_of_date,
        voters.model_id,
        voters.window_days,

        'the day has no vote' as fault,
        null::jsonb as constituent,
        last_votes.run_id

    from last_votes
    inner join voters
        on
            last_votes.model_id = voters.model_id
            and last_votes.window_days = voters.window_days
            and last_votes.started_at > voters.finished_at
            and last_votes.weights ? voters.region
    left join votes
        on
            voters.model_id = votes.model_id
            and voters.window_days = votes.window_days
            and voters.as_of_date = votes.as_of_date
    where
        voters.as_of_date = voters.day
        and votes.region is null

),

faulty as (

    select * from faults_of_constituents
    where fault is not null

    union all

    select * from faults_of_days

    union all

    select * from left_out

    union all

    select * from without_a_vote

)

select * from faulty
order by region, as_of_date, model_id, window_days, fault
