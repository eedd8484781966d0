"""How assets hang together: the asset graph, selections over it, impact.

Comes in: definitions from the loaders. Goes out: one frozen `AssetGraph`. Always holds: no cycle, topological order,
every edge ends at an asset of the graph. May import: errors, definitions.
"""
