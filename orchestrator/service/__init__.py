"""Keeping it running: Prefect's server and flows, choosing an engine, `orchestrator dev`. The only home of prefect.

Comes in: a plan to carry out, or a workspace to serve. Goes out: the executor's own result, mirrored into Prefect.
Always holds: our result never depends on Prefect's, no process started here outlives the one that started it, and
`engine`, `server` and `dev` can be imported without importing prefect. May import: `workspace`, `plan`, `execution`.
"""
