with days as (
    select distinct flight_date from {{ ref('stg_flights') }}
),

-- People leave before a holiday and come back after it.
near_holidays as (
    select days.flight_date, arg_min(holidays.holiday_name, abs(days.flight_date - holidays.holiday_date)) as holiday
    from days
    inner join {{ ref('holidays') }} as holidays
        on days.flight_date between holidays.holiday_date - 1 and holidays.holiday_date + 1
    group by days.flight_date
)

select
    days.flight_date,
    date_trunc('month', days.flight_date)::date as flight_month,
    dayname(days.flight_date) as weekday,
    isodow(days.flight_date) >= 6 as is_weekend,
    near_holidays.holiday as holiday_period
from days
left join near_holidays using (flight_date)
