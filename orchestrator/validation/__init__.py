"""What is wrong in the project's code, found without running it: rules over graph, columns and manifest.

In comes a loaded workspace; out come findings, each with its rule, severity, `file:line:col` in the user's own code
and, where one can be said, a fix. Rules are pure; files are read (`places`, `gather`) and DuckDB is asked (`exact`) at
the edge. Always holds: no warehouse is opened, and a column is called unknown only where all that could have it is
known. May import everything up to `workspace`.
"""
