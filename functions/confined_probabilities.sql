{# Two walks side by side: the probability of labels that lag behind the state (held), and of labels
   that have caught up with it (caught_up). Each day the share keep of held stays held, and the rest
   moves to the label of the state. Both walks step by P; probability that leaves the set of its row
   is lost. A probability below 1e-150 is set to 0, because an underflow is an error in Postgres. #}
with recursive

size as (

    select
        cardinality(label_law) as k,
        cardinality(allowed) / cardinality(label_law) as sets

),

walks as (

    select
        0 as step,
        state_law as state,
        (
            select
                array_agg(
                    case when allowed[(s - 1) * size.k + j] then label_law[j] else 0 end
                    order by s, j
                )
            from generate_series(1, size.sets) as s
            cross join generate_series(1, size.k) as j
        ) as held,
        array_fill(0::double precision, array[size.sets * size.k]) as caught_up
    from size

    union all

    select
        walks.step + 1 as step,
        arrived.state,
        arrived.held,
        arrived.caught_up
    from walks
    cross join size
    cross join lateral (

        select
            array_agg(state order by j) filter (where s = 1) as state,
            array_agg(
                case when is_allowed and keep * held > 1e-150 then keep * held else 0 end
                order by s, j
            ) as held,
            array_agg(
                case
                    when is_allowed and caught_up + (1 - keep) * all_held * state > 1e-150
                        then caught_up + (1 - keep) * all_held * state
                    else 0
                end
                order by s, j
            ) as caught_up
        from (

            select
                s,
                j,
                allowed[(s - 1) * size.k + j] as is_allowed,
                sum(walks.state[via] * probabilities[(via - 1) * size.k + j]) as state,
                sum(walks.held[(s - 1) * size.k + via] * probabilities[(via - 1) * size.k + j])
                    as held,
                sum(
                    walks.caught_up[(s - 1) * size.k + via]
                    * probabilities[(via - 1) * size.k + j]
                ) as caught_up,
                sum(sum(
                    walks.held[(s - 1) * size.k + via] * probabilities[(via - 1) * size.k + j]
                )) over (partition by s) as all_held
            from generate_series(1, size.sets) as s
            cross join generate_series(1, size.k) as j
            cross join generate_series(1, size.k) as via
            group by s, j

        ) as moved

    ) as arrived
    where walks.step < steps

)

select
    array(
        select held_mass + caught_up_mass
        from unnest(held, caught_up)
            with ordinality as place (held_mass, caught_up_mass, number)
        order by number
    )
from walks
where step = steps
