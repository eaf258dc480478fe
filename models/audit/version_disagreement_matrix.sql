with

pairs as (

    select * from {{ ref('version_pairs') }}

),

matrix as (

    select
        region,
        first_model_id,
        first_window_days,
        first_version,
        second_model_id,
        second_window_days,
        second_version,
        first_label,
        second_label,

        count(*)::integer as days,
        (count(*) / sum(count(*)) over pair)::double precision as share_of_days,
        min(as_of_date) as first_date,
        max(as_of_date) as last_date

    from pairs
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9
    window pair as (
        partition by
            region,
            first_model_id,
            first_window_days,
            first_version,
            second_model_id,
            second_window_days,
            second_version
    )

)

select * from matrix
