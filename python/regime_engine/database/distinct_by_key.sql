with recursive

found as (

    (select {column} as name from {table} where {condition} order by {column} limit 1)

    union all

    select (
        select later.{column}
        from {table} as later
        where later.{column} > found.name and {condition}
        order by later.{column}
        limit 1
    )
    from found
    where found.name is not null

)

select name
from found
where name is not null
