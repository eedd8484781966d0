select
    origin,
    scheduled_hour,
    {{ delay_measures() }}
from {{ ref('stg_flights') }}
group by origin, scheduled_hour
