{# ‖x − centre‖, x standardised by mean and scale where the model has them: a number of scale 0 does
   not count. In double precision, as in Python. #}
select
    sqrt(sum(
        (
            case
                when parameters -> 'mean' is null then number
                when (parameters -> 'scale' ->> (position::integer - 1))::double precision > 0
                    then
                        (
                            number
                            - (parameters -> 'mean' ->> (position::integer - 1))::double precision
                        )
                        / (parameters -> 'scale' ->> (position::integer - 1))::double precision
                else 0
            end
            - (parameters -> 'centers' -> state ->> (position::integer - 1))::double precision
        ) ^ 2
    ))
from unnest(numbers::double precision[]) with ordinality as of_the_embedding (number, position)
