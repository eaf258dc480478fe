{# The fields of each classifier as its to_json writes them. Each path must find nothing: $k is the
   number of labels. -#}
{%- set numbers_of_markov = [
    'scale', 'volatility_share', 'recurrent_share', 'prior_power', 'hysteresis', 'beta'
] -%}
{%- set arrays_of_experts = ['mu', 'sigma', 'transition_matrix', 'volume_mean', 'initial'] -%}
{%- set numbers_of_experts = ['share', 'nu', 'volume_weight', 'volume_scale'] -%}
{%- set numbers_of_volatility = [
    'mean', 'deviation', 'persistence', 'leverage', 'nu', 'level'
] -%}
{%- set strict_paths = [
    'transition_matrix[*] ? (@.type() != "array" || @.size() != $k)',
    'transition_matrix[*][*] ? (@.type() != "number" || @ < 0 || @ > 1)',
    'initial[*] ? (@.type() != "array")',
    'initial[*][*] ? (@.type() != "number" || @ < 0 || @ > 1)',
    'sigma[*] ? (@.type() != "number" || @ <= 0)'
] -%}
{%- set percentiles = ['log_score', 'size', 'last_size', 'rarest'] %}
with

versions as (

    select
        *,
        jsonb_build_object('k', cardinality(labels)) as sizes

    from {{ ref('regime_models') }}

),

shaped as materialized (

    select
        region,
        model_id,
        window_days,
        version,

        classifier,
        labels,
        parameters,
        run_id,
        case
            when
                cardinality(labels) = 0
                or cardinality(labels) <> (
                    select count(distinct label) from unnest(versions.labels) as label
                )
                then 'it has a label twice, or none'
            when jsonb_typeof(parameters) <> 'object' or jsonb_typeof(metrics) <> 'object'
                then 'its parameters or its metrics are no object'
            when
                jsonb_path_exists(
                    parameters - 'model_id',
                    'strict $.** ? (@.type() == "string" || @.type() == "boolean" || @.type() == "null")'
                )
                then 'a parameter is no number'
            when classifier = 'markov'
                then
                    case
                        when parameters -> 'model_id' is distinct from to_jsonb(model_id)
                            then 'its parameters are of another encoder'
                        {% for name in numbers_of_markov %}
                        when {{ is_of_kind("(parameters -> '" ~ name ~ "')", 'number') }} is not true
                            then 'it has no number {{ name }}'
                        {% endfor %}
                        when
                            jsonb_path_exists(
                                parameters,
                                '$ ? (
                                    @.scale <= 0
                                    || @.volatility_share < 0
                                    || @.recurrent_share < 0
                                    || @.volatility_share + @.recurrent_share > 1
                                    || @.prior_power < 0
                                    || @.hysteresis < 0
                                    || @.beta <= 0
                                )'
                            )
                            then 'a number is outside its range'
                        when
                            (
                                jsonb_typeof(parameters -> 'experts') = 'array'
                                and jsonb_array_length(parameters -> 'experts') between 1 and 2
                            ) is not true
                            or jsonb_path_exists(
                                parameters,
                                '$.experts[*] ? (
                                    {%- for name in arrays_of_experts %}
                                    !exists(@.{{ name }}) || @.{{ name }}.size() != $k ||
                                    {%- endfor %}
                                    {%- for name in numbers_of_experts %}
                                    !exists(@.{{ name }}) || @.{{ name }}.type() != "number" ||
                                    {%- endfor %}
                                    !exists(@.usual_volume)
                                    || @.share < 0 || @.share > 1
                                    || @.nu <= 0
                                    || @.volume_weight < 0
                                    || @.volume_scale < 0
                                )',
                                sizes
                            )
                            then 'an expert is not of its labels'
                        when
                            {% for path in strict_paths %}
                            -- Null where an array is none.
                            coalesce(
                                jsonb_path_exists(
                                    parameters,
                                    'strict $.experts[*].{{ path }}',
                                    sizes,
                                    true
                                ),
                                true
                            )
                            {{ 'or' if not loop.last }}
                            {% endfor %}
                            then 'an expert has a number that is no probability or no deviation'
                        {% for name in numbers_of_volatility %}
                        when
                            {{ is_of_kind("(parameters #> '{volatility, " ~ name ~ "}')", 'number') }}
                            is not true
                            then 'its volatility has no number {{ name }}'
                        {% endfor %}
                        when
                            jsonb_path_exists(
                                parameters,
                                '$.volatility ? (
                                    @.deviation <= 0
                                    || @.persistence <= 0 || @.persistence >= 1
                                    || @.leverage < -1 || @.leverage > 1
                                    || @.nu <= 0
                                    || @.level <= 0
                                    || @.range_noise <= 0
                                )'
                            )
                            or (parameters -> 'volatility' ? 'range_noise')
                            <> (parameters -> 'volatility' ? 'range_offset')
                            then 'its volatility has a number outside its range'
                        {% for name in percentiles %}
                        when
                            (
                                jsonb_typeof(parameters #> '{typical, {{ name }}}') = 'array'
                                and jsonb_array_length(parameters #> '{typical, {{ name }}}') = 101
                            ) is not true
                            or jsonb_path_exists(
                                parameters, 'strict $.typical.{{ name }}[*] ? (@.type() != "number")'
                            )
                            then 'it has no 101 percentiles {{ name }}'
                        {% endfor %}
                        -- The recurrent expert knows the training by what it remembers of it.
                        when (parameters -> 'recurrent_share' > '0') <> (parameters ? 'context')
                            then 'its recurrent expert has no context, or it has one without the expert'
                    end
            when classifier = 'prototype'
                then
                    case
                        when
                            (
                                jsonb_typeof(parameters -> 'centers') = 'array'
                                and jsonb_array_length(parameters -> 'centers') = cardinality(labels)
                            ) is not true
                            then 'its centres are not of its labels'
                        when
                            jsonb_path_exists(
                                parameters,
                                'strict $.centers[*] ? (@.type() != "array" || @.size() != $d)',
                                jsonb_build_object(
                                    'd',
                                    case model_id
                                        {%- for model_id, encoder in var('encoders').items() %}
                                        when '{{ model_id }}' then {{ encoder.dimension }}
                                        {%- endfor %}
                                    end
                                )
                            )
                            then 'its centres are not of the dimension of its encoder'
                        when
                            ({{ is_of_kind("(parameters -> 'temperature')", 'number') }}
                            and (parameters ->> 'temperature')::numeric > 0) is not true
                            then 'it has no temperature above 0'
                        when
                            (
                                jsonb_typeof(parameters -> 'novelty_percentiles') = 'array'
                                and jsonb_array_length(parameters -> 'novelty_percentiles') = 101
                            ) is not true
                            or jsonb_path_exists(
                                parameters,
                                'strict $.novelty_percentiles[*] ? (@.type() != "number")'
                            )
                            then 'it has no 101 percentiles of novelty'
                        when
                            (parameters ? 'mean') <> (parameters ? 'scale')
                            or jsonb_path_exists(parameters, '$.scale[*] ? (@ < 0)')
                            then 'it has a mean without a scale, or a scale below 0'
                    end
            else 'there is no such classifier'
        end as fault

    from versions

),

experts as (

    select
        shaped.region,
        shaped.model_id,
        shaped.window_days,
        shaped.version,

        cardinality(shaped.labels) as k,
        expert.place,
        expert.value as expert

    from shaped
    cross join lateral jsonb_array_elements(shaped.parameters -> 'experts')
        with ordinality as expert (value, place)
    where
        shaped.fault is null
        and shaped.classifier = 'markov'

),

measured as (

    select
        experts.*,

        (
            select max(abs(row_sum - 1))
            from (
                select sum(number.value::double precision) as row_sum
                from jsonb_array_elements(experts.expert -> 'transition_matrix')
                    with ordinality as states (of_state, state)
                cross join lateral jsonb_array_elements_text(states.of_state) as number (value)
                group by states.state
            ) as rows_of_matrix
        ) as farthest_from_one,
        (
            select sum(number.value::double precision)
            from jsonb_array_elements(experts.expert -> 'initial') as states (of_state)
            cross join lateral jsonb_array_elements_text(states.of_state) as number (value)
        ) as initial_sum,
        (
            select array_agg(deviation.value order by deviation.value::double precision)
            from jsonb_array_elements_text(experts.expert -> 'sigma') as deviation (value)
        ) as sigma_in_order,
        (
            select array_agg(deviation.value order by deviation.place)
            from jsonb_array_elements_text(experts.expert -> 'sigma')
                with ordinality as deviation (value, place)
        ) as sigma

    from experts

),

percentiles as (

    select
        shaped.region,
        shaped.model_id,
        shaped.window_days,
        shaped.version,

        named.name,
        bool_and(coalesce(numbers.step >= 0, true)) as is_rising

    from shaped
    cross join lateral (

        values
        {% for name in percentiles %}
        ('typical.{{ name }}', shaped.parameters #> '{typical, {{ name }}}'),
        {% endfor %}
        ('novelty_percentiles', shaped.parameters -> 'novelty_percentiles')

    ) as named (name, stored)
    cross join lateral (

        select
            number.value::double precision
            - lag(number.value::double precision) over (order by number.place) as step
        from jsonb_array_elements_text(named.stored) with ordinality as number (value, place)

    ) as numbers
    where shaped.fault is null
    group by shaped.region, shaped.model_id, shaped.window_days, shaped.version, named.name

),

faults as (

    select
        region,
        model_id,
        window_days,
        version,

        fault

    from shaped

    union all

    select
        region,
        model_id,
        window_days,
        version,

        case
            when farthest_from_one > 1e-9
                then 'a row of the transition matrix of expert ' || place || ' does not sum to 1'
            when abs(initial_sum - 1) > 1e-9
                then 'the initial probabilities of expert ' || place || ' do not sum to 1'
            when sigma <> sigma_in_order
                then 'the states of expert ' || place || ' are not in order of their volatility'
            when
                abs(
                    sum((expert ->> 'share')::double precision) over (
                        partition by region, model_id, window_days, version
                    ) - 1
                ) > 1e-9
                then 'the shares of the experts do not sum to 1'
        end as fault

    from measured

    union all

    select
        region,
        model_id,
        window_days,
        version,

        name || ' does not rise' as fault

    from percentiles
    where not is_rising

),

faulty as (

    select
        versions.region,
        versions.model_id,
        versions.window_days,
        versions.version,

        faults.fault,
        versions.classifier,
        versions.labels,
        versions.run_id

    from faults
    inner join versions using (region, model_id, window_days, version)
    where faults.fault is not null

)

select * from faulty
order by region, model_id, window_days, version
