{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['flight_date', 'origin'],
        on_schema_change='fail',
        contract={'enforced': true},
    )
}}

with flights as (
    select * from {{ ref('stg_flights') }}
    {% if is_incremental() %}
    where flight_date > (select max(flight_date) from {{ this }}) - {{ var('lookback_days') }}
    {% endif %}
),

days as (
    select
        flight_date,
        origin,
        {{ delay_measures() }},
        quantile_cont(departure_delay, 0.9) as p90_delay,
        max(departure_delay) as longest_delay
    from flights
    group by flight_date, origin
)

select
    days.flight_date,
    days.origin,
    calendar.weekday,
    calendar.is_weekend,
    calendar.holiday_period,
    days.flights,
    days.cancelled_flights,
    days.cancelled_share,
    days.late_share,
    days.mean_delay,
    days.median_delay,
    days.p90_delay,
    days.longest_delay
from days
left join {{ ref('int_calendar') }} as calendar using (flight_date)
