{#
    The measures that most marts share, over rows of stg_flights: counts, then the share of departures that left late,
    then how late they were. Cancelled flights have no delay; they count in `flights` and `cancelled_flights` only.
#}
{% macro delay_measures() -%}
    count(*) as flights,
    count(*) filter (where is_cancelled) as cancelled_flights,
    round(avg(is_cancelled::integer), 4) as cancelled_share,
    round(avg(is_late::integer), 4) as late_share,
    round(avg(departure_delay), 2) as mean_delay,
    median(departure_delay) as median_delay
{%- endmacro %}
