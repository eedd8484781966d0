select
    tailnum as tail_number,
    year::integer as manufactured_year,
    type as aircraft_type,
    -- One maker, several spellings.
    case
        when manufacturer like 'AIRBUS%' then 'AIRBUS'
        when manufacturer like 'MCDONNELL DOUGLAS%' or manufacturer = 'DOUGLAS' then 'MCDONNELL DOUGLAS'
        when manufacturer like 'CANADAIR%' or manufacturer = 'BOMBARDIER INC' then 'BOMBARDIER'
        else manufacturer
    end as manufacturer,
    model,
    engines,
    seats
from {{ source('raw', 'planes') }}
