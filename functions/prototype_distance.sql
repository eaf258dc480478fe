{# ‖x − centre‖ in double precision, as in Python. If the model has a mean and a scale, x is
   standardised first, and a number whose scale is 0 counts as 0. Null for a vector of another
   length. #}
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
