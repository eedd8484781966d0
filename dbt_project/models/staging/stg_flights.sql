with flights as (
    select * from {{ source('raw', 'flights') }}
),

scheduled as (
    select
        *,
        flight_date + to_minutes(hour * 60 + minute) as scheduled_departure_at
    from flights
)

select
    concat_ws('-', flight_date, carrier, flight, origin) as flight_id,
    flight_date,
    carrier,
    flight as flight_number,
    tailnum as tail_number,
    origin,
    dest as destination,
    scheduled_departure_at,
    hour::integer as scheduled_hour,
    time_hour as scheduled_hour_utc,
    -- The published clock times carry no date; schedule plus delay does, also past midnight.
    scheduled_departure_at + to_minutes(dep_delay) as departed_at,
    dep_delay as departure_delay,
    arr_delay as arrival_delay,
    air_time as air_minutes,
    distance as distance_miles,
    dep_time is null as is_cancelled,
    dep_time is not null and arr_delay is null as is_diverted,
    dep_delay >= {{ var('late_after_minutes') }} as is_late
from scheduled
