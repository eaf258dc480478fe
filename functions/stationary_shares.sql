{# A row of ((P + I)/2)^(2^60), computed by squaring. The lazy chain (P + I)/2 has the same
   stationary law as P and converges even if P is periodic. Rows are scaled to sum to 1 at each
   step, so that rounding errors do not add up. A share below 1e-150 of its row is set to 0, because
   an underflow is an error in Postgres. #}
with recursive

size as (

    select sqrt(cardinality(probabilities))::integer as k

),

powers as (

    select
        0 as squarings,
        (
            select
                array_agg(
                    (
                        probabilities[(i - 1) * size.k + j] + case when i = j then 1 else 0 end
                    ) / 2
                    order by i, j
                )
            from generate_series(1, size.k) as i
            cross join generate_series(1, size.k) as j
        ) as matrix
    from size

    union all

    select
        powers.squarings + 1 as squarings,
        (
            select
                array_agg(
                    case when product > 1e-150 * row_sum then product / row_sum else 0 end
                    order by i, j
                )
            from (

                select
                    i,
                    j,
                    sum(
                        powers.matrix[(i - 1) * size.k + via]
                        * powers.matrix[(via - 1) * size.k + j]
                    ) as product,
                    sum(sum(
                        powers.matrix[(i - 1) * size.k + via]
                        * powers.matrix[(via - 1) * size.k + j]
                    )) over (partition by i) as row_sum
                from generate_series(1, size.k) as i
                cross join generate_series(1, size.k) as j
                cross join generate_series(1, size.k) as via
                group by i, j

            ) as products
        ) as matrix
    from powers
    cross join size
    where powers.squarings < 60

)

select powers.matrix[1:size.k]
from powers
cross join size
where
    powers.squarings = 60
    and array_position(probabilities, null) is null
