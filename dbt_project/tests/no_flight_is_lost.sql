-- The daily totals count every flight once: no join on the way drops or doubles one.
with counted as (
    select
        (select count(*) from {{ ref('stg_flights') }}) as staged,
        (select count(*) from {{ ref('int_flights_with_weather') }}) as with_weather,
        (select sum(flights) from {{ ref('daily_delays') }}) as reported
)

select *
from counted
where staged <> with_weather or staged <> reported
