select
    origin,
    observed_date,
    hour::integer as observed_hour,
    time_hour as observed_hour_utc,
    temp as temperature_f,
    humid as relative_humidity,
    wind_dir as wind_direction,
    -- A sensor at Newark once reported 1,048 mph.
    case when wind_speed <= 150 then wind_speed end as wind_speed_mph,
    wind_gust as wind_gust_mph,
    precip as precipitation_inches,
    pressure as pressure_millibars,
    visib as visibility_miles
from {{ source('raw', 'weather') }}
