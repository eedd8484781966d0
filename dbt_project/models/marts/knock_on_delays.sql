with rotations as (
    select
        *,
        case
            when previous_delay is null then '0 first departure of the day'
            when previous_delay < {{ var('late_after_minutes') }} then '1 left on time before'
            when previous_delay < 60 then '2 less than an hour late'
            when previous_delay < 120 then '3 one to two hours late'
            else '4 more than two hours late'
        end as previous_departure
    from {{ ref('int_aircraft_rotations') }}
)

select
    previous_departure,
    count(*) as flights,
    round(avg(is_late::integer), 4) as late_share,
    round(avg(departure_delay), 2) as mean_delay,
    round(avg(previous_delay), 2) as mean_previous_delay,
    median(minutes_since_previous) as median_minutes_between
from rotations
group by previous_departure
