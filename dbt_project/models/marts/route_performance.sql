with routes as (
    select
        origin,
        destination,
        count(distinct carrier) as carriers,
        any_value(distance_miles) as distance_miles,
        {{ delay_measures() }},
        round(avg(arrival_delay), 2) as mean_arrival_delay
    from {{ ref('stg_flights') }}
    group by origin, destination
)

select
    routes.origin,
    routes.destination,
    airports.airport_name as destination_name,
    routes.distance_miles,
    routes.carriers,
    routes.flights,
    routes.cancelled_flights,
    routes.cancelled_share,
    routes.late_share,
    routes.mean_delay,
    routes.median_delay,
    routes.mean_arrival_delay
from routes
left join {{ ref('stg_airports') }} as airports on routes.destination = airports.airport
