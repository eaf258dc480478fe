-- The voted series in which a regime of one of the series counted.
select distinct
    votes.region,
    votes.model_id,
    votes.window_days
from {regimes} as votes
inner join unnest(%(regions)s::text[], %(model_ids)s::text[], %(lengths)s::integer[])
    as voters (region, model_id, window_days)
    on
        votes.model_id = voters.model_id
        and votes.window_days = voters.window_days
        and votes.metadata -> 'constituents'
        @> jsonb_build_array(jsonb_build_object('region', voters.region))
where votes.region = %(vote)s
order by 2, 3
