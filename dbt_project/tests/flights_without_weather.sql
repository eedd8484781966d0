{{ config(severity='warn') }}
-- 1,556 flights have no weather: the stations have gaps, and the last day of the year is missing altogether.
select flight_id, origin, scheduled_hour_utc
from {{ ref('int_flights_with_weather') }}
where weather_condition = 'unknown'
