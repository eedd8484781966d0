"""The example's Python side: ingestion of New York's flights, a statistical model of their delays, and upkeep.

A module an asset family, with everything about it in one place: where the rows come from, the asset, its checks.
Nothing is listed anywhere: Orchestrator finds the definitions by reading the modules.
"""
