{# The fields of each classifier, as its to_json writes them. A jsonpath looks for what is wrong: $k
   is the number of labels, $d the dimension of the encoder. -#}
{%- set numbers_of_markov = [
    'scale', 'volatility_share', 'recurrent_share', 'prior_power', 'hysteresis', 'beta'
] -%}
{%- set arrays_of_experts = ['mu', 'sigma', 'transition_matrix', 'volume_mean', 'initial'] -%}
{%- set numbers_of_experts = ['share', 'nu', 'volume_weight', 'volume_scale'] -%}
{%- set ranges_of_experts = [
    'transition_matrix[*] ? (@.type() != "array" || @.size() != $k)',
    'transition_matrix[*][*] ? (@.type() != "number" || @ < 0 || @ > 1)',
    'initial[*] ? (@.type() != "array")',
    'initial[*][*] ? (@.type() != "number" || @ < 0 || @ > 1)',
    'sigma[*] ? (@.type() != "number" || @ <= 0)'
] -%}
{%- set numbers_of_volatility = [
    'mean', 'deviation', 'persistence', 'leverage', 'nu', 'level'
] -%}
{%- set typical = ['log_score', 'size', 'last_size', 'rarest'] %}
with

versions as (

    select
        *,
        jsonb_build_object(
            'k', cardinality(labels),
            'd', case model_id
                {%- for model_id, encoder in var('encoders').items() %}
                when '{{ model_id }}' then {{ encoder.dimension }}
                {%- endfor %}
            end
        ) as sizes

    from {{ ref('regime_models') }}

),

shaped as materialized (

    select
        region,
        model_id,
        window_days,
        version,

        classifier,
        parameters -> 'experts' as experts,
        parameters -> 'typical' as typical,
        parameters -> 'novelty_percentiles' as novelty_percentiles,
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
                    'strict $.** ? (
                        @.type() == "string" || @.type() == "boolean" || @.type() == "null"
                    )'
                )
                then 'a parameter is no number'
            when classifier = 'markov'
                then
                    case
                        when coalesce(parameters -> 'model_id' <> to_jsonb(model_id), true)
                            then 'its parameters are of another encoder'
                        {% for name in numbers_of_markov %}
                        when
                            {{ is_of_kind("(parameters -> '" ~ name ~ "')", 'number') }}
                            is not true
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
                        when {{ is_array("parameters -> 'experts'") }} is not true
                            then 'it has no experts'
                        {% for name in arrays_of_experts %}
                        when
                            jsonb_path_exists(
                                parameters,
                                '$.experts[*] ? (
                                    !exists(@.{{ name }}) || @.{{ name }}.size() != $k
                                )',
                                sizes
                            )
                            then 'an expert has no {{ name }} of its labels'
                        {% endfor %}
                        {% for name in numbers_of_experts %}
                        when
                            jsonb_path_exists(
                                parameters,
                                '$.experts[*] ? (
                                    !exists(@.{{ name }}) || @.{{ name }}.type() != "number"
                                )'
                            )
                            then 'an expert has no number {{ name }}'
                        {% endfor %}
                        {% for path in ranges_of_experts %}
                        -- Null where an array is none.
                        when
                            coalesce(
                                jsonb_path_exists(
                                    parameters,
                                    'strict $.experts[*].{{ path }}',
                                    sizes,
                                    true
                                ),
                                true
                            )
                            then 'an expert has a number that is no probability or no deviation'
                        {% endfor %}
                        when
                            jsonb_path_exists(
                                parameters,
                                '$.experts[*] ? (
                                    !exists(@.usual_volume)
                                    || @.share < 0
                                    || @.share > 1
                                    || @.nu <= 0
                                    || @.volume_weight < 0
                                    || @.volume_scale < 0
                                )'
                            )
                            then 'an expert has a number outside its range'
                        {% for name in numbers_of_volatility %}
                        when
                            coalesce(
                                jsonb_typeof(parameters #> '{volatility, {{ name }}}') <> 'number',
                                true
                            )
                            then 'its volatility has no number {{ name }}'
                        {% endfor %}
                        when
                            jsonb_path_exists(
                                parameters,
                                '$.volatility ? (
                                    @.deviation <= 0
                                    || @.persistence <= 0
                                    || @.persistence >= 1
                                    || @.leverage < -1
                                    || @.leverage > 1
                                    || @.nu <= 0
                                    || @.level <= 0
                                    || @.range_noise <= 0
                                )'
                            )
                            or (parameters -> 'volatility' ? 'range_noise')
                            <> (parameters -> 'volatility' ? 'range_offset')
                            then 'its volatility has a number outside its range'
                        {% for name in typical %}
                        when
                            {{ is_array("parameters -> 'typical' -> '" ~ name ~ "'", 101) }}
                            is not true
                            or jsonb_path_exists(
                                parameters,
                                'strict $.typical.{{ name }}[*] ? (@.type() != "number")'
                            )
                            then 'it has no 101 percentiles {{ name }}'
                        {% endfor %}
                        -- The recurrent expert knows the training by what it remembers of it.
                        when
                            (parameters -> 'recurrent_share' > '0') <> (parameters ? 'context')
                            then 'it has a recurrent expert or a context without the other'
                    end
            when classifier = 'prototype'
                then
                    case
                        when
                            {{ is_array("parameters -> 'centers'", 'cardinality(labels)') }}
                            is not true
                            then 'its centres are not of its labels'
                        when
                            jsonb_path_exists(
                                parameters,
                                'strict $.centers[*] ? (@.type() != "array" || @.size() != $d)',
                                sizes
                            )
                            then 'its centres are not of the dimension of its encoder'
                        when coalesce(parameters -> 'temperature' <= '0', true)
                            then 'it has no temperature above 0'
                        when
                            {{ is_array("parameters -> 'novelty_percentiles'", 101) }}
                            is not true
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

        expert.place,
        (expert.value ->> 'share')::double precision as share,
        expert.value -> 'transition_matrix' as matrix,
        expert.value -> 'initial' as initial,
        expert.value -> 'sigma' as sigma

    from shaped
    cross join lateral jsonb_array_elements(shaped.experts) with ordinality as expert (value, place)
    where
        shaped.fault is null
        and shaped.classifier = 'markov'

),

measured as (

    select
        experts.region,
        experts.model_id,
        experts.window_days,
        experts.version,

        experts.place,
        sum(experts.share) over (
            partition by experts.region, experts.model_id, experts.window_days, experts.version
        ) as shares,
        (
            select max(abs(row_sum - 1)) from (

                select sum(number.value::double precision) as row_sum
                from jsonb_array_elements(experts.matrix) with ordinality as states (row, place)
                cross join lateral jsonb_array_elements_text(states.row) as number (value)
                group by states.place

            ) as rows_of_matrix
        ) as farthest_from_one,
        (
            select sum(number.value::double precision)
            from jsonb_array_elements(experts.initial) as states (of_state)
            cross join lateral jsonb_array_elements_text(states.of_state) as number (value)
        ) as initial_sum,
        experts.sigma <> (
            select jsonb_agg(deviation.value order by deviation.value)
            from jsonb_array_elements(experts.sigma) as deviation (value)
        ) as is_out_of_order

    from experts

),

percentiles as (

    select
        shaped.region,
        shaped.model_id,
        shaped.window_days,
        shaped.version,

        'typical.' || typical.key as name,
        typical.value as stored

    from shaped
    cross join lateral jsonb_each(shaped.typical) as typical
    where
        shaped.fault is null
        and shaped.classifier = 'markov'

    union all

    select
        region,
        model_id,
        window_days,
        version,

        'novelty_percentiles' as name,
        novelty_percentiles as stored

    from shaped
    where
        fault is null
        and classifier = 'prototype'

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
            when is_out_of_order
                then 'the states of expert ' || place || ' are not in order of their volatility'
            when abs(shares - 1) > 1e-9 then 'the shares of the experts do not sum to 1'
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
    where
        jsonb_typeof(stored) = 'array'
        and stored <> (
            select jsonb_agg(percentile.value order by percentile.value)
            from jsonb_array_elements(percentiles.stored) as percentile (value)
        )

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
