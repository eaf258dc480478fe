{# ‖x − centre‖, x standardised by mean and scale where the model has them: a number of scale 0 does
   not count. In double precision, as in Python; null for a vector of another length. #}
select
    case
        when count(*) = count(number) and count(*) = count(center)
            then
                sqrt(sum(
                    (
                        case
                            when mean is null then number
                            when scale::double precision > 0
                                then
                                    (number - mean::double precision) / scale::double precision
                            else 0
                        end
                        - center::double precision
                    ) ^ 2
                ))
    end
from
    rows from (
        unnest(numbers::double precision[]),
        jsonb_array_elements_text(parameters -> 'centers' -> state),
        jsonb_array_elements_text(parameters -> 'mean'),
        jsonb_array_elements_text(parameters -> 'scale')
    ) as place (number, center, mean, scale)
