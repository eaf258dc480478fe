-- The first run, in the order of the seals, that a test of the audit finds at fault.
select
    runs.seal_number,
    runs.command,
    runs.finished_at
from ({query}) as found
inner join {regime_runs} as runs on runs.run_id = found.{run_id}
where runs.seal_number is not null
order by runs.seal_number
limit 1
