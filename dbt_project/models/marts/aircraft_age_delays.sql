with flights as (
    select
        flights.*,
        year(flights.flight_date) - planes.manufactured_year as age_years
    from {{ ref('stg_flights') }} as flights
    left join {{ ref('stg_planes') }} as planes using (tail_number)
),

banded as (
    select
        *,
        case
            when age_years is null then 'unknown'
            when age_years < 5 then '0 to 4 years'
            when age_years < 10 then '5 to 9 years'
            when age_years < 15 then '10 to 14 years'
            when age_years < 20 then '15 to 19 years'
            else '20 years and more'
        end as age_band
    from flights
)

select
    age_band,
    min(age_years) as youngest_years,
    count(distinct tail_number) as aircraft,
    {{ delay_measures() }}
from banded
group by age_band
