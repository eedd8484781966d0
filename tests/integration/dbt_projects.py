"""dbt projects that tests write to a temporary directory."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

PROFILES = """
    shop:
      target: dev
      outputs:
        dev: {type: duckdb, path: warehouse.duckdb, schema: dev}
        prod: {type: duckdb, path: prod.duckdb, schema: prod}
"""
PROJECT = """
    name: shop
    version: "1.0"
    profile: shop
"""

SHOP: dict[str, str] = {
    "dbt_project.yml": """
        name: shop
        version: "1.0"
        profile: shop
        vars: {limit: 10}
        models:
          shop:
            marts:
              +schema: marts
              +group: sales
            by_target:
              +schema: "{{ 'live' if target.name == 'prod' else 'scratch' }}"
        seeds:
          shop: {+schema: raw}
        on-run-end: "select 1"
    """,
    "profiles.yml": PROFILES,
    "seeds/raw_orders.csv": "id,customer_id,ordered_at,amount\n1,1,2024-01-01,10\n2,2,2024-01-02,20\n",
    "seeds/raw_customers.csv": "id,name\n1,Ada\n2,Grace\n",
    "models/sources.yml": """
        sources:
          - name: raw
            schema: "{{ target.schema }}_raw"
            tables:
              - name: orders
                identifier: raw_orders
                description: Orders as they come.
                loaded_at_field: ordered_at
                freshness: {warn_after: {count: 12, period: hour}}
              - name: customers
                identifier: raw_customers
          - name: elsewhere
            database: other
            tables:
              - name: events
    """,
    "models/staging/stg_orders.sql": """
        {{ config(materialized='view', tags=['nightly']) }}
        select id, customer_id, cast(ordered_at as date) as ordered_at, {{ cents('amount') }} as cents
        from {{ source('raw', 'orders') }} limit {{ var('limit') }}
    """,
    "models/staging/stg_customers.sql": "select id, name from {{ source('raw', 'customers') }}",
    "models/staging/paid_orders.sql": """
        {{ config(materialized='ephemeral') }}
        select * from {{ ref('stg_orders') }} where cents > 0
    """,
    "models/marts/customers.sql": """
        {{ config(materialized='table', contract={'enforced': true}, access='public') }}
        select c.id, c.name, count(o.id) as orders
        from {{ ref('stg_customers') }} c left join {{ ref('paid_orders') }} o on o.customer_id = c.id group by 1, 2
    """,
    "models/marts/daily_orders.sql": """
        {{ config(materialized='incremental', unique_key='ordered_at', alias='orders_by_day') }}
        select ordered_at, count(*) as orders from {{ ref('paid_orders') }} group by 1
    """,
    "models/marts/scores_v1.sql": "select id from {{ ref('customers') }}",
    "models/marts/scores_v2.sql": "select id, orders from {{ ref('customers') }}",
    "models/marts/ranked.py": """
        def model(dbt, session):
            dbt.config(materialized="table")
            return dbt.ref("customers")
    """,
    "models/by_target/moving.sql": "select 1 as id",
    "models/by_target/off.sql": "{{ config(enabled=false) }} select 1 as id",
    "models/by_target/fixed_key.sql": """
        {{ config(meta={'orchestrator': {'key': 'special.thing'}, 'owner': ['x@example.com', 'y@example.com']}) }}
        select * from {{ ref('scores', v=1) }}
    """,
    "models/time_spine.sql": "select cast('2024-01-01' as date) as date_day",
    "models/models.yml": """
        groups:
          - name: sales
            owner: {name: Sales team, email: sales@example.com}
        models:
          - name: customers
            description: One row a customer.
            description: One row for each customer.
            columns:
              - name: id
                data_type: integer
                description: Its number.
                data_tests: [unique, not_null]
              - {name: name, data_type: varchar}
              - {name: orders, data_type: bigint}
          - name: scores
            latest_version: 2
            versions: [{v: 1}, {v: 2}]
          - name: stg_orders
            columns:
              - name: customer_id
                data_tests:
                  - relationships:
                      arguments: {to: ref('stg_customers'), field: id}
                      config: {severity: warn, error_if: ">100"}
          - name: paid_orders
            columns:
              - name: id
                data_tests: [not_null]
          - name: time_spine
            time_spine: {standard_granularity_column: date_day}
            columns:
              - {name: date_day, granularity: day}
        unit_tests:
          - name: counts_orders
            model: customers
            given:
              - {input: ref('stg_customers'), rows: [{id: 1, name: Ada}]}
              - {input: ref('paid_orders'), format: sql, rows: 'select 7 as id, 7 as customer_id'}
            expect: {rows: [{id: 1, name: Ada, orders: 0}]}
        exposures:
          - name: board
            type: dashboard
            url: https://example.com/board
            owner: {name: Board team}
            depends_on: [ref('customers'), metric('order_total')]
        semantic_models:
          - name: orders
            model: ref('daily_orders')
            defaults: {agg_time_dimension: ordered_at}
            entities: [{name: ordered_day, type: primary, expr: ordered_at}]
            dimensions: [{name: ordered_at, type: time, type_params: {time_granularity: day}}]
            measures: [{name: orders, agg: sum}]
        metrics:
          - {name: order_total, label: Orders, type: simple, type_params: {measure: orders}}
        saved_queries:
          - name: totals
            query_params: {metrics: [order_total]}
    """,
    "snapshots/customers_history.sql": """
        {% snapshot customers_history %}
        {{ config(unique_key='id', strategy='check', check_cols='all', target_schema='history') }}
        select * from {{ ref('customers') }}
        {% endsnapshot %}
    """,
    "tests/no_order_without_customer.sql": """
        select 1 from {{ ref('paid_orders') }} o left join {{ ref('customers') }} c on c.id = o.customer_id
        where c.id is null
    """,
    "macros/cents.sql": "{% macro cents(column) %}({{ hundred() }} * {{ column }}){% endmacro %}",
    "macros/hundred.sql": "{% macro hundred() %}100{% endmacro %}",
    "macros/generate_schema_name.sql": """
        {% macro generate_schema_name(custom_schema_name, node) -%}
        {{ target.schema }}{{ '_' ~ custom_schema_name if custom_schema_name }}
        {%- endmacro %}
    """,
}


def write_project(directory: Path, files: Mapping[str, str]) -> Path:
    """A project with `files` over a minimal dbt_project.yml and profiles.yml."""
    for name, text in {"dbt_project.yml": PROJECT, "profiles.yml": PROFILES, **files}.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    return directory


def write_shop(directory: Path, **changed: str) -> Path:
    """A project with one of everything."""
    return write_project(directory, {**SHOP, **changed})
