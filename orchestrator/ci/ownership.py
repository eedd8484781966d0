"""What CI runs have made on a server, written down there: a table in each schema that a run has created.

A machine that checks a pull request is gone when the pull request is closed, so what may be dropped has to be known
where it lies. A run claims the schemas that it creates by the table `_orchestrator_ci`, with a row for each relation
that it writes. Cleaning up drops those relations, and a claimed schema only when nothing else is left in it. A schema
that was there before, or has no claim of this very name, is never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.dbt_engine.operation import run_macro
from orchestrator.loaders.manifest import Manifest, Node
from orchestrator.workspace import Workspace

CLAIM_TABLE = "_orchestrator_ci"

_CLAIM = """
{% macro orchestrator_ci_claim(place, schemas) %}
  {% for item in schemas %}
    {% set claim = api.Relation.create(database=item.database, schema=item.schema, identifier='CLAIM_TABLE') %}
    {% set fresh = not adapter.check_schema_exists(item.database, item.schema) %}
    {% if fresh %}
      {% do adapter.create_schema(claim) %}
      {% call statement('claim') %}
        create table {{ claim }} (place {{ dbt.type_string() }}, made {{ dbt.type_string() }})
      {% endcall %}
    {% endif %}
    {% if fresh or adapter.get_relation(item.database, item.schema, 'CLAIM_TABLE') %}
      {% for made in item.made %}
        {% set values = [dbt.string_literal(place), dbt.string_literal(dbt.escape_single_quotes(made))] %}
        {% call statement('made') %} insert into {{ claim }} values ({{ values | join(', ') }}) {% endcall %}
      {% endfor %}
      {% do adapter.commit() %}
    {% endif %}
  {% endfor %}
{% endmacro %}
""".replace("CLAIM_TABLE", CLAIM_TABLE)

_DROP = """
{% macro orchestrator_ci_drop(place, databases, looks_like) %}
  {% for database in databases %}
    {% set schemas = [] %}
    {% for row in dbt.list_schemas(database) %}
      {% do schemas.append(row['name'] if 'name' in row.keys() else row[0]) %}
    {% endfor %}
    {% for schema in schemas if looks_like in schema | lower %}
      {% set claim = adapter.get_relation(database, schema, 'CLAIM_TABLE') %}
      {% set made = [] %}
      {% if claim %}
        {% set query = "select made from " ~ claim ~ " where place = " ~ dbt.string_literal(place) %}
        {% for row in run_query(query) %}{% do made.append(row[0]) %}{% endfor %}
      {% endif %}
      {% if made %}
        {% set others = [] %}
        {% set listed %}
          select table_name from {{ dbt.information_schema_name(database) }}.tables
          where table_schema = {{ dbt.string_literal(dbt.escape_single_quotes(schema)) }}
        {% endset %}
        {% for row in run_query(listed) if row[0] not in made and row[0] != claim.identifier %}
          {% do others.append(row[0]) %}
        {% endfor %}
        {% set ours = [] %}
        {% for name in made | unique %}
          {% set relation = adapter.get_relation(database, schema, name) %}
          {% if relation %}
            {% do adapter.drop_relation(relation) %}
            {% do ours.append(name) %}
          {% endif %}
        {% endfor %}
        {% if not others %}
          {% do adapter.drop_relation(claim) %}
          {% set name = claim.without_identifier() %}
          {% set name = name.include(database=false) if target.type in ('postgres', 'redshift') else name %}
          {# Not adapter.drop_schema, which takes along whatever else there may be. #}
          {% call statement('drop') %} drop schema {{ name }} {% endcall %}
        {% else %}
          {% call statement('noted') %} select 1 {% endcall %}
        {% endif %}
        {% do adapter.commit() %}
        {% set said = {'schema': schema, 'dropped': ours, 'left': others} %}
        {{ log('orchestrator:' ~ tojson(said)) }}
      {% endif %}
    {% endfor %}
  {% endfor %}
{% endmacro %}
""".replace("CLAIM_TABLE", CLAIM_TABLE)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A schema that was cleaned up."""

    schema: str
    relations: tuple[str, ...]
    left: tuple[str, ...] = ()
    """What somebody else has put there: because of it the schema stays."""


def claim_schemas(workspace: Workspace, place: str, written: Iterable[Node]) -> None:
    """Create the schemas that a run in `place` writes to and that are not there, as ours; note what it writes.

    Raises DbtProjectError.
    """
    made: dict[tuple[str, str], dict[str, None]] = {}
    for node in written:
        made.setdefault((node.database or "", node.schema_ or ""), {})[node.alias or node.name] = None
    schemas = [
        {"database": database or None, "schema": schema, "made": list(names)}
        for (database, schema), names in made.items()
        if schema
    ]
    if schemas:
        _run(workspace, "orchestrator_ci_claim", _CLAIM, {"place": place, "schemas": schemas})


def drop_claimed(workspace: Workspace, place: str, *, schema: str, manifest: Manifest) -> list[Dropped]:
    """Drop what CI runs in `place` have made, in schemas whose names hold `schema`. Raises DbtProjectError."""
    databases = sorted({node.database for node in manifest.all_of("nodes").values() if node.database})
    arguments = {"place": place, "databases": databases, "looks_like": schema.lower()}
    answers = _run(workspace, "orchestrator_ci_drop", _DROP, arguments)
    return [Dropped(item["schema"], tuple(item["dropped"]), tuple(item["left"])) for item in answers]


def _run(workspace: Workspace, name: str, sql: str, arguments: Mapping[str, Any]) -> list[Any]:
    manifest = workspace.dbt_manifest()
    return run_macro(workspace.dbt_invocation, manifest, name=name, sql=sql, arguments=dict(arguments))


__all__ = ["Dropped", "claim_schemas", "drop_claimed"]
