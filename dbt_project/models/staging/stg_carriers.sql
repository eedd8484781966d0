select
    airlines.carrier,
    airlines.name as carrier_name,
    carrier_groups.carrier_group,
    carrier_groups.flies_for
from {{ source('raw', 'airlines') }} as airlines
left join {{ source('reference', 'carrier_groups') }} as carrier_groups
    on airlines.carrier = carrier_groups.carrier
