-- The rows of each instrument that has some between the two days, as arrays. An instrument id is a key
-- of the answer, since the order of the groups is not that of the question.
select
    instrument_id,
    array_agg(trade_date),
    array_agg(coalesce(feature_hash, 0)),
    {arrays}
from {features}
where
    instrument_id = any(%(instrument_ids)s)
    and trade_date between %(first)s and coalesce(%(end)s::date, 'infinity')
group by instrument_id
