-- The windows that regimes of other series rest on, of the instruments that the runs embedded.
select distinct
    instrument_id,
    as_of_date,
    model_id,
    window_days
from {regimes}
where
    region <> %(vote)s
    and instrument_id in (
        select parameters ->> 'instrument_id' from {regime_runs} where run_id = any(%(run_ids)s)
    )
    and (region, model_id, window_days) not in (
        select * from unnest(%(regions)s::text[], %(model_ids)s::text[], %(lengths)s::integer[])
    )
