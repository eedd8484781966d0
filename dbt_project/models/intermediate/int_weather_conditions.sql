{{ config(materialized='ephemeral') }}

select
    origin,
    observed_hour_utc,
    temperature_f,
    wind_speed_mph,
    precipitation_inches,
    visibility_miles,
    -- The first that applies: what hampers flying most comes first.
    case
        when precipitation_inches > 0 and temperature_f <= 32 then 'snow or ice'
        when precipitation_inches >= 0.1 then 'heavy rain'
        when precipitation_inches > 0 then 'rain'
        when visibility_miles < 3 then 'fog'
        when wind_speed_mph >= 20 then 'strong wind'
        else 'fair'
    end as weather_condition
from {{ ref('stg_weather') }}
