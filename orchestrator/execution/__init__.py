"""Making it happen: the executor takes a plan, runs steps as their inputs finish, and writes events. Plain Python.

Comes in: a workspace and a `RunPlan`. Goes out: events and a `RunResult`. Always holds: an intent before a writer
starts, an outcome after; order; no false green. May import: workspace, plan, resources, dbt_engine; no Prefect.
"""
