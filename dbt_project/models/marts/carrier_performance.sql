with flights as (
    select
        flights.*,
        hours.mean_delay as usual_delay
    from {{ ref('stg_flights') }} as flights
    left join {{ ref('departure_hours') }} as hours using (origin, scheduled_hour)
),

measured as (
    select
        carrier,
        {{ delay_measures() }},
        round(avg(usual_delay) filter (where not is_cancelled), 2) as expected_delay,
        round(avg(departure_delay - arrival_delay), 2) as minutes_made_up
    from flights
    group by carrier
)

select
    carriers.carrier,
    carriers.carrier_name,
    carriers.carrier_group,
    carriers.flies_for,
    measured.flights,
    measured.cancelled_flights,
    measured.cancelled_share,
    measured.late_share,
    measured.mean_delay,
    measured.median_delay,
    measured.expected_delay,
    round(measured.mean_delay - measured.expected_delay, 2) as excess_delay,
    measured.minutes_made_up
from measured
inner join {{ ref('stg_carriers') }} as carriers using (carrier)
