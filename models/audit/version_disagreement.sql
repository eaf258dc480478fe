with

pairs as (

    select * from {{ ref('version_pairs') }}

),

disagreements as (

    select * from pairs
    where first_label <> second_label

)

select * from disagreements
