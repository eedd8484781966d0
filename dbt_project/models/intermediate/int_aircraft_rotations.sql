with flown as (
    select flight_id, flight_date, tail_number, origin, carrier, scheduled_departure_at, departure_delay, is_late
    from {{ ref('stg_flights') }}
    where not is_cancelled and tail_number is not null
)

select
    *,
    row_number() over rotation as departure_of_day,
    lag(departure_delay) over rotation as previous_delay,
    date_diff('minute', lag(scheduled_departure_at) over rotation, scheduled_departure_at) as minutes_since_previous
from flown
window rotation as (partition by tail_number, flight_date order by scheduled_departure_at, flight_id)
