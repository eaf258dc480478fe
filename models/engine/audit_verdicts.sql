-- depends_on: {{ ref('daily_features') }}

select
    null::uuid as audit_id,
    null::timestamp with time zone as audited_at,
    null::text as test_name,
    null::text as verdict,
    null::integer as failures,
    null::text as package_version,
    null::text as database_user
where false
