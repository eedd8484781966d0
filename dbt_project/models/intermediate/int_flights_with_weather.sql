select
    flights.flight_id,
    flights.flight_date,
    flights.carrier,
    flights.origin,
    flights.destination,
    flights.scheduled_hour,
    flights.scheduled_hour_utc,
    flights.departure_delay,
    flights.distance_miles,
    flights.is_cancelled,
    flights.is_late,
    coalesce(weather.weather_condition, 'unknown') as weather_condition,
    weather.temperature_f,
    weather.wind_speed_mph,
    weather.precipitation_inches,
    weather.visibility_miles
from {{ ref('stg_flights') }} as flights
-- In UTC an hour is unique; the local hour of 3 November, when the clocks go back, is there twice.
left join {{ ref('int_weather_conditions') }} as weather
    on flights.origin = weather.origin
    and flights.scheduled_hour_utc = weather.observed_hour_utc
