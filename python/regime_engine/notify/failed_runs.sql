-- The first run of each day since a date that failed or died, by command and subject.
select distinct on (as_of_date, command, region, instrument_id)
    started_at::date as as_of_date,
    command,
    region,
    instrument_id,
    run_id::text as run_id,
    coalesce(left(error, 500), 'the process ended before the run did') as error
from (
    select
        *,
        parameters ->> 'region' as region,
        parameters ->> 'instrument_id' as instrument_id
    from {regime_runs}
    where
        started_at >= %(since)s
        and (status = 'FAILED' or (status = 'RUNNING' and run_id = any(%(dead)s::uuid[])))
) as failed
order by as_of_date, command, region, instrument_id, started_at
