select
    run_id,
    parameters,
    package_version,
    coalesce(extract(epoch from started_at)::double precision, '-infinity'),
    coalesce(extract(epoch from finished_at)::double precision, 'infinity')
from {regime_runs}
