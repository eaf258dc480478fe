select
    run_id,
    command,
    status,
    parameters,
    coalesce(failures, '{{}}'),
    package_version,
    coalesce(extract(epoch from started_at)::double precision, '-infinity'),
    coalesce(extract(epoch from finished_at)::double precision, 'infinity')
from {regime_runs}
