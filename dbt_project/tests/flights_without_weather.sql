{{ config(severity='warn') }}
-- The weather station has gaps, mostly at night and on the last two days of the year.
select flight_id, origin, scheduled_hour_utc
from {{ ref('int_flights_with_weather') }}
where weather_condition = 'unknown'
