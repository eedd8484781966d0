"""For tests of assets, actions and checks: no server, no dbt, no clock, nothing outside of a temporary directory.

An asset is still a function, `flights(build_context())`; `materialize([flights, three_airports])` runs several by the
same executor as any run, on a DuckDB file of their own. May import everything but `service`, `ci`, `cli` and `app`.
"""

from orchestrator.testing.contexts import build_context
from orchestrator.testing.materialize import Materialized, materialize

__all__ = ["Materialized", "build_context", "materialize"]
