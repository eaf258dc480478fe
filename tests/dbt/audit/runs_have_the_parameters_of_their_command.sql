{# What the engine gives to the ledger for each command: its parameters, each of a kind, and the
   tables that it counts. Two kinds of fit have other parameters. -#}
{%- set span = {'start': 'optional day', 'end': 'optional day'} -%}
{%- set series = {
    'region': 'text',
    'model_id': 'text',
    'window_days': 'count',
    'instrument_id': 'text'
} -%}
{%- set classified = dict(series, model_version='optional count') -%}
{%- set fitted = dict(
    dict(series, **span),
    classifier='text',
    states='optional count',
    windows='stretches'
) -%}
{%- set parameters_of = {
    'run': dict(classified, as_of='day', max_staleness_days='count'),
    'backfill': dict(classified, **span),
    'fit': dict(fitted, valid_from='optional day'),
    'walk-forward': dict(fitted, every_months='count', train_years='years'),
    'global': dict(series, weights='weights'),
    'embed': dict(
        span,
        model_id='text',
        window_days='count',
        max_staleness_days='optional count',
        recompute='boolean',
        classify='boolean',
        instrument_ids='instruments',
        shard='shard'
    ),
    'forget': {
        'region': 'optional text',
        'instrument_id': 'optional text',
        'model_id': 'optional text',
        'window_days': 'optional count',
        'series': 'series'
    },
    'region add': {
        'region': 'text',
        'instrument_id': 'text',
        'weight': 'optional weight',
        'description': 'optional text',
        'model_id': 'null'
    },
    'region remove': {'region': 'text', 'model_id': 'null'}
} -%}
{%- set written_by = {
    'run': ['numeric_window_embeddings', 'regimes', 'regime_transitions'],
    'backfill': ['numeric_window_embeddings', 'regimes', 'regime_transitions'],
    'embed': ['numeric_window_embeddings', 'regimes', 'regime_transitions'],
    'fit': ['regime_models'],
    'walk-forward': ['regime_models'],
    'global': ['regimes', 'regime_transitions'],
    'forget': ['regimes', 'regime_transitions'],
    'region add': [],
    'region remove': []
} %}
with

runs as (

    select
        *,
        case
            when command = 'fit' and parameters ?| array['every_months', 'train_years']
                then 'walk-forward'
            else command
        end as kind

    from {{ ref('regime_runs') }}

),

judged as (

    select
        run_id,
        command,
        status,
        started_at,

        case
            when jsonb_typeof(parameters) <> 'object' then 'the parameters are no object'
            {% for kind, wanted in parameters_of.items() %}
            when kind = '{{ kind }}'
                then
                    case
                        {% for name, of_kind in wanted.items() %}
                        when
                            {{ is_of_kind("(parameters -> '" ~ name ~ "')", of_kind) }}
                            is not true
                            then 'the parameter {{ name }} is missing or of the wrong kind'
                        {% endfor %}
                        when
                            parameters - array[
                                {% for name in wanted %}
                                '{{ name }}'{{ ',' if not loop.last }}
                                {% endfor %}
                            ] <> '{}'
                            then 'it has a parameter that the command does not take'
                        when
                            jsonb_typeof(rows_written) <> 'object'
                            or rows_written - array[
                                {% for table in written_by[kind] %}
                                '{{ table }}'{{ ',' if not loop.last }}
                                {% endfor %}
                            ]::text[] <> '{}'
                            or jsonb_path_exists(
                                rows_written,
                                '$.* ? (@.type() != "number" || @ < 0 || @.floor() != @)'
                            )
                            then 'it counts rows that the command does not write'
                    end
            {% endfor %}
            else 'there is no such command'
        end as fault_of_parameters,
        case
            when (model_id is distinct from (parameters ->> 'model_id'))
                then 'its model_id is not that of its parameters'
            when command = 'global' and not {{ is_voted("(parameters ->> 'region')") }}
                then 'it voted for a region that is not voted'
            when btrim(package_version) = '' then 'it does not say which version of the package ran'
            when btrim(database_user) = '' then 'it does not say who ran it'
            when status = 'FAILED' and btrim(error) = '' then 'it does not say why it failed'
            when
                (
                    command = 'forget'
                    and (rows_removed is not null or status <> 'SUCCEEDED')
                    and not jsonb_path_exists(
                        coalesce(rows_removed, '{}'),
                        '$ ? (@.type() != "object")'
                    )
                    and not jsonb_path_exists(
                        coalesce(rows_removed, '{}'),
                        '$.* ? (@.type() != "object")'
                    )
                    and not jsonb_path_exists(
                        coalesce(rows_removed, '{}'),
                        '$.*.* ? (@.type() != "number" || @ <= 0 || @.floor() != @)'
                    )
                    or (command <> 'forget' and rows_removed is null)
                ) is not true
                then 'it removed rows as no run of the command does'
            when
                (
                    command = 'embed'
                    and (failures is not null or status <> 'SUCCEEDED')
                    and not jsonb_path_exists(
                        coalesce(failures, '{}'),
                        '$ ? (@.type() != "object")'
                    )
                    and not jsonb_path_exists(
                        coalesce(failures, '{}'),
                        '$.* ? (@.type() != "string")'
                    )
                    or (command <> 'embed' and failures is null)
                ) is not true
                then 'it names instruments that failed as no run of the command does'
        end as fault_of_columns,
        parameters,
        rows_written,
        rows_removed,
        failures,
        package_version,
        database_user

    from runs

),

faulty as (

    select
        run_id,
        command,
        status,
        started_at,

        coalesce(fault_of_parameters, fault_of_columns) as fault,
        parameters,
        rows_written,
        rows_removed,
        failures,
        package_version,
        database_user

    from judged
    where coalesce(fault_of_parameters, fault_of_columns) is not null

)

select * from faulty
order by started_at, run_id
