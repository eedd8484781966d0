"""Concrete resources: the warehouse of a dbt profile, DuckDB files and the locks beside them, PostgreSQL.

Comes in: settings. Goes out: open connections and what was seen through them. Always holds: nothing is opened when a
module is imported. May import: errors, definitions.
"""
