with

verdicts as (

    select * from {{ ref('audit_verdicts') }}

),

last_audit as (

    select audit_id
    from verdicts
    order by audited_at desc, audit_id
    limit 1

),

in_last_audit as (

    select verdicts.*
    from verdicts
    inner join last_audit using (audit_id)

),

-- The last audit in which each test had another verdict than in the newest one.
before as (

    select
        verdicts.test_name,

        max(verdicts.audited_at) filter (where verdicts.verdict <> in_last_audit.verdict)
            as last_other_at,
        max(verdicts.audited_at) filter (where verdicts.verdict = 'PASS') as last_passed_at,
        min(verdicts.audited_at) filter (where verdicts.verdict = 'FAIL') as first_failed_at,
        count(*) as audits

    from verdicts
    inner join in_last_audit using (test_name)
    group by verdicts.test_name

),

since as (

    select
        verdicts.test_name,
        min(verdicts.audited_at) as verdict_since

    from verdicts
    inner join before using (test_name)
    where before.last_other_at is null or verdicts.audited_at > before.last_other_at
    group by verdicts.test_name

),

histories as (

    select
        in_last_audit.test_name,

        in_last_audit.verdict,
        in_last_audit.failures,
        in_last_audit.audited_at,
        since.verdict_since,
        before.last_passed_at,
        before.first_failed_at,
        before.audits

    from in_last_audit
    inner join before using (test_name)
    inner join since using (test_name)

)

select * from histories
