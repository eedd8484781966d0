"""What the example's Python code uses outside of itself."""

from orchestrator import Warehouse

warehouse = Warehouse.from_dbt()
"""The database that dbt writes to: another target (`--env prod`) is another database, here too."""
