"""What will happen: pure functions of (graph, facts). States of assets, and the plan of a run.

Comes in: an `AssetGraph` and `Facts`. Goes out: states with reasons, a `RunPlan`. Always holds: what the plan says is
what the executor does, and every step left out says why. May import: errors, definitions, graph.
"""
