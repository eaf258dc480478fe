{# What the tables of revised rows have: the kind of each column in old_row, the key, and the hash
   that the row carried. -#}
{%- set columns_of = {
    'numeric_window_embeddings': {
        'entity_type': 'text',
        'entity_id': 'text',
        'as_of_date': 'day',
        'model_id': 'text',
        'window_days': 'count',
        'window_spec': 'object',
        'vector': 'bytes',
        'dimension': 'count',
        'window_hash': 'text',
        'row_hash': 'text',
        'run_id': 'uuid',
        'created_at': 'moment'
    },
    'regimes': {
        'region': 'text',
        'as_of_date': 'day',
        'model_id': 'text',
        'window_days': 'count',
        'instrument_id': 'text',
        'model_version': 'count',
        'regime_label': 'text',
        'confidence': 'number',
        'probabilities': 'probabilities',
        'runner_up_label': 'optional text',
        'expected_volatility': 'optional number',
        'regime_embedding': 'bytes',
        'metadata': 'object',
        'row_hash': 'text',
        'run_id': 'uuid',
        'created_at': 'moment'
    }
} -%}
{%- set key_of = {
    'numeric_window_embeddings': ['entity_type', 'entity_id', 'as_of_date', 'model_id', 'window_days'],
    'regimes': ['region', 'as_of_date', 'model_id', 'window_days']
} %}
with

revisions as (

    select
        *,
        {{ uuid_or_null("(old_row -> 'run_id')") }} as old_run_id,
        {{ moment_or_null("(old_row -> 'created_at')") }} as created_at,
        {{ day_or_null("(old_row -> 'as_of_date')") }} as as_of_date,
        {{ count_or_null("(old_row -> 'window_days')") }} as window_days

    from {{ ref('regime_revisions') }}

),

runs as (

    select * from {{ ref('regime_runs') }}

),

embeddings as not materialized (

    select * from {{ ref('numeric_window_embeddings') }}

),

regimes as not materialized (

    select * from {{ ref('regimes') }}

),

-- What a key had after the row: the row of the next revision, or the one that is stored.
followed as (

    select
        revisions.*,
        coalesce(
            lead(revisions.created_at) over (
                partition by revisions.table_name, revisions.key
                order by revisions.revised_at, revisions.created_at
            ),
            embeddings.created_at,
            regimes.created_at
        ) as next_created_at

    from revisions
    left join embeddings
        on
            revisions.table_name = 'numeric_window_embeddings'
            and revisions.old_row ->> 'entity_type' = embeddings.entity_type
            and revisions.old_row ->> 'entity_id' = embeddings.entity_id
            and revisions.as_of_date = embeddings.as_of_date
            and revisions.old_row ->> 'model_id' = embeddings.model_id
            and revisions.window_days = embeddings.window_days
    left join regimes
        on
            revisions.table_name = 'regimes'
            and revisions.old_row ->> 'region' = regimes.region
            and revisions.as_of_date = regimes.as_of_date
            and revisions.old_row ->> 'model_id' = regimes.model_id
            and revisions.window_days = regimes.window_days

),

judged as (

    select
        followed.table_name,
        followed.key,
        followed.old_run_id,
        followed.new_run_id,
        followed.created_at,
        followed.revised_at,

        case
            when
                coalesce(
                    followed.row_hash <> {{ row_hash([
                        'followed.table_name',
                        'followed.key',
                        'followed.old_row',
                        'followed.new_run_id',
                        'extract(epoch from followed.revised_at)',
                    ]) }},
                    true
                )
                then 'the revision was edited'
            when not followed.old_row @> followed.key then 'the row has another key'
            {% for table, columns in columns_of.items() %}
            when followed.table_name = '{{ table }}'
                then
                    case
                        {% for column, kind in columns.items() %}
                        when
                            {{ is_of_kind("(followed.old_row -> '" ~ column ~ "')", kind) }}
                            is not true
                            then 'the row has no {{ column }} of its kind'
                        {% endfor %}
                        when
                            followed.old_row - array[
                                {% for column in columns %}
                                '{{ column }}'{{ ',' if not loop.last }}
                                {% endfor %}
                            ] <> '{}'
                            then 'the row has a column that the table has not'
                        when
                            followed.key <> jsonb_build_object(
                                {% for column in key_of[table] %}
                                '{{ column }}', followed.old_row -> '{{ column }}'
                                {{- ',' if not loop.last }}
                                {% endfor %}
                            )
                            then 'the row has another key'
                        {% if table == 'regimes' %}
                        when
                            followed.old_row ->> 'row_hash' <> {{ row_hash([
                                "followed.old_row -> 'region'",
                                "followed.old_row -> 'as_of_date'",
                                "followed.old_row -> 'model_id'",
                                "followed.old_row -> 'window_days'",
                                "followed.old_row -> 'instrument_id'",
                                "followed.old_row -> 'model_version'",
                                "followed.old_row -> 'regime_label'",
                                "followed.old_row -> 'probabilities'",
                                "followed.old_row -> 'runner_up_label'",
                                "followed.old_row -> 'expected_volatility'",
                                "encode(sha256(decode("
                                ~ "substr(followed.old_row ->> 'regime_embedding', 3), 'hex'"
                                ~ ")), 'hex')",
                                "followed.old_row -> 'metadata'",
                            ]) }}
                            then 'the row was edited'
                        when
                            coalesce(
                                followed.old_row -> 'confidence'
                                <> followed.old_row
                                -> 'probabilities'
                                -> (followed.old_row ->> 'regime_label'),
                                true
                            )
                            then 'the confidence of the row was edited'
                        {% else %}
                        when
                            followed.old_row ->> 'row_hash' <> encode(
                                sha256(
                                    convert_to(
                                        jsonb_build_array(
                                            followed.old_row -> 'entity_type',
                                            followed.old_row -> 'entity_id',
                                            followed.old_row -> 'as_of_date',
                                            followed.old_row -> 'model_id',
                                            followed.old_row -> 'window_days',
                                            followed.old_row -> 'window_spec',
                                            followed.old_row -> 'dimension',
                                            followed.old_row -> 'window_hash'
                                        )::text,
                                        'UTF8'
                                    )
                                    || decode(substr(followed.old_row ->> 'vector', 3), 'hex')
                                ),
                                'hex'
                            )
                            then 'the row was edited'
                        {% endif %}
                    end
            {% endfor %}
            else 'rows of that table are not revised'
        end as fault_of_row,
        case
            when new_runs.run_id is null then 'no such run replaced the row'
            when old_runs.run_id is null then 'no such run wrote the row'
            when followed.old_run_id = followed.new_run_id
                then 'the run that wrote the row is the one that replaced it'
            when
                followed.revised_at < new_runs.started_at
                or followed.revised_at > coalesce(new_runs.finished_at, clock_timestamp())
                then 'the run was not under way when the row was replaced'
            when followed.created_at > followed.revised_at
                then 'the row was written after it was replaced'
            when followed.next_created_at < followed.revised_at
                then 'the row that replaced it was written before'
        end as fault_of_runs

    from followed
    left join runs as new_runs
        on followed.new_run_id = new_runs.run_id
    left join runs as old_runs
        on followed.old_run_id = old_runs.run_id

),

faulty as (

    select
        table_name,
        key,
        old_run_id,
        new_run_id,
        created_at,
        revised_at,

        coalesce(fault_of_row, fault_of_runs) as fault

    from judged
    where coalesce(fault_of_row, fault_of_runs) is not null

)

select * from faulty
order by revised_at, table_name, key
