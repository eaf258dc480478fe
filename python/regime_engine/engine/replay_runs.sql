select
    run_id,
    command,
    status,
    -- What is no object says nothing.
    case jsonb_typeof(parameters) when 'object' then parameters else '{{}}' end,
    case jsonb_typeof(failures) when 'object' then failures else '{{}}' end,
    package_version,
    coalesce(extract(epoch from started_at)::double precision, '-infinity'),
    coalesce(extract(epoch from finished_at)::double precision, 'infinity')
from {regime_runs}
