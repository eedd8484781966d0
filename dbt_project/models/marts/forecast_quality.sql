{{ config(group='science') }}

with forecasts as (
    select
        predictions.*,
        flights.origin,
        flights.departure_delay,
        date_trunc('month', flights.flight_date)::date as flight_month
    from {{ source('ml', 'delay_predictions') }} as predictions
    inner join {{ ref('int_flights_with_weather') }} as flights using (flight_id)
)

select
    flight_month,
    origin,
    count(*) as flights,
    round(avg(departure_delay), 2) as mean_delay,
    round(avg(predicted_delay), 2) as mean_predicted_delay,
    round(avg(predicted_delay - departure_delay), 2) as bias,
    round(avg(abs(predicted_delay - departure_delay)), 2) as mean_absolute_error,
    round(sqrt(avg((predicted_delay - departure_delay) ** 2)), 2) as root_mean_squared_error,
    round(sqrt(avg((baseline_delay - departure_delay) ** 2)), 2) as baseline_root_mean_squared_error
from forecasts
group by flight_month, origin
