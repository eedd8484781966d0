"""Where definitions come from: dbt manifests and Python modules, merged by relation into one graph.

Comes in: a workspace's projects. Goes out: an `AssetGraph` and all errors found, at once. Always holds: one broken
module does not hide the others. May import: errors, definitions, graph.model, resources, dbt_engine.
"""
