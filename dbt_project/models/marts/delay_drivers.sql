{{ config(group='science') }}

with effects as (
    select * from {{ source('ml', 'delay_model') }}
)

select
    effects.feature,
    effects.level,
    case effects.feature
        when 'carrier' then carriers.carrier_name
        when 'hour' then 'scheduled at ' || effects.level || ':00'
        when 'weekday' then effects.level
        when 'origin' then airports.airport_name
        else effects.feature || ': ' || effects.level
    end as driver,
    effects.flights,
    effects.minutes,
    row_number() over (order by abs(effects.minutes) desc, effects.feature, effects.level) as importance
from effects
left join {{ ref('stg_carriers') }} as carriers on effects.feature = 'carrier' and effects.level = carriers.carrier
left join {{ ref('stg_airports') }} as airports on effects.feature = 'origin' and effects.level = airports.airport
where effects.feature <> 'intercept'
