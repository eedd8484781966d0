with conditions as (
    select
        weather_condition,
        {{ delay_measures() }}
    from {{ ref('int_flights_with_weather') }}
    group by weather_condition
)

select
    *,
    round(mean_delay - max(mean_delay) filter (where weather_condition = 'fair') over (), 2) as added_delay,
    round(flights / sum(flights) over (), 4) as share_of_flights
from conditions
