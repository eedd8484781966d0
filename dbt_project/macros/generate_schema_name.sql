{# Every target has a database of its own, so a schema is called what the project calls it: `marts`, not `main_marts`. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
