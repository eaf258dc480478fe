{# (n_ij + 60 m_ij) / (n_i + 60), the posterior mean under a Dirichlet prior of 60 transitions a
   row. m_ii is the share of all transitions that stay, itself smoothed by 60 transitions of which
   59 stay; the rest of row i of m is divided equally among the other labels. #}
with

size as (

    select sqrt(cardinality(transitions))::integer as k

),

cells as (

    select
        i,
        j,
        size.k,
        transitions[(i - 1) * size.k + j] as n,
        sum(transitions[(i - 1) * size.k + j]) over (partition by i) as departures,
        (59 + sum(transitions[(i - 1) * size.k + j]) filter (where i = j) over ())
        / (60 + sum(transitions[(i - 1) * size.k + j]) over ()) as stay

    from size
    cross join generate_series(1, size.k) as i
    cross join generate_series(1, size.k) as j

)

select
    array_agg(
        (
            n
            + 60 * case
                when k = 1 then 1
                when i = j then stay
                else (1 - stay) / (k - 1)
            end
        ) / (departures + 60)
        order by i, j
    )
from cells
