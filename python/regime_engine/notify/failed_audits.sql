-- The audits since a date of which a test failed: day and time, and test → number of wrong rows.
select
    audited_at::date as as_of_date,
    audited_at,
    jsonb_object_agg(test_name, failures order by test_name) as tests
from {audit_verdicts}
where verdict = 'FAIL' and audited_at >= %(since)s
group by audit_id, audited_at
order by audited_at
