{# Runs once after every dbt build: fresh statistics for the query planner. #}
{% macro refresh_statistics() %}
    {% if execute %}
        {% do log("refreshing the planner's statistics in " ~ target.name) %}
        analyze
    {% endif %}
{% endmacro %}
