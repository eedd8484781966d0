"""`orchestrator validate` on real projects: the example as it is and with ten faults, and what changes the outcome."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
MODELS = "dbt_project/models"
FAULTS = (
    # (file, what is there, what is written instead)
    (f"{MODELS}/marts/route_performance.sql", "    routes.carriers,", "    routes.carrierz,"),
    (f"{MODELS}/intermediate/int_flights_with_weather.sql", "    flights.origin,", "    origin,"),
    (f"{MODELS}/intermediate/int_calendar.sql", "near_holidays.holiday as", "holidays.holiday as"),
    (
        f"{MODELS}/marts/departure_hours.sql",
        "group by origin, scheduled_hour\n",
        "group by origin, scheduled_hour\nunion all\nselect origin, scheduled_hour, 0 from {{ ref('stg_flights') }}\n",
    ),
    (f"{MODELS}/staging/stg_airports.sql", "{{ source('raw', 'airports') }}", "raw.airports"),
    (f"{MODELS}/marts/_marts.yml", "{name: weekday, data_type: varchar", "{name: weekday, data_type: integer"),
    (f"{MODELS}/intermediate/_intermediate.yml", "- name: departure_of_day", "- name: departure_of_the_day"),
    (f"{MODELS}/staging/_staging.yml", "- name: visibility_miles", "- name: visibility"),
    (
        f"{MODELS}/intermediate/int_aircraft_rotations.sql",
        "with flown as (",
        "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='flight_date',\n"
        "          begin='2013-01-01', batch_size='month') }}\nwith flown as (",
    ),
    (f"{MODELS}/staging/stg_planes.sql", "year::integer as", "year + type as"),
)
FOUND = {
    f"{MODELS}/intermediate/_intermediate.yml:23:15 warning yaml-column": (
        "departure_of_the_day is documented, and intermediate.int_aircraft_rotations has no such column",
        "did you mean 'departure_of_day' or 'departure_delay'?",
    ),
    f"{MODELS}/intermediate/int_aircraft_rotations.sql:5:13 warning microbatch-parent": (
        "stg_flights has no event_time: dbt scans it whole for each batch of intermediate.int_aircraft_rotations",
        "set its event_time; if it is meant to be read whole, write {{ ref('stg_flights').render() }}",
    ),
    f"{MODELS}/intermediate/int_calendar.sql:19:5 error unknown-table": (
        "nothing in FROM is called holidays",
        "did you mean 'near_holidays' or 'days'?",
    ),
    f"{MODELS}/intermediate/int_flights_with_weather.sql:5:5 error ambiguous-column": (
        "origin is a column of flights and weather",
        "write flights.origin or weather.origin",
    ),
    f"{MODELS}/marts/_marts.yml:17:16 warning contract-mismatch": (
        "the contract says that weekday is integer, in marts.daily_delays it is VARCHAR",
        "cast it, or write data_type: VARCHAR",
    ),
    f"{MODELS}/marts/departure_hours.sql:8:8 error set-operation-columns": (
        "the sides of UNION have 8 and 3 columns",
        None,
    ),
    f"{MODELS}/marts/route_performance.sql:18:12 error unknown-column": (
        "routes has no column carrierz",
        "did you mean 'carriers'?",
    ),
    f"{MODELS}/staging/_staging.yml:83:15 error tested-column": (
        "visibility is tested (between), and staging.stg_weather has no such column",
        "did you mean 'visibility_miles'?",
    ),
    f"{MODELS}/staging/stg_airports.sql:8:6 error undeclared-relation": (
        "raw.airports is read without ref() or source(): nothing makes sure that it is built before",
        "read {{ source('raw', 'airports') }}",
    ),
    f"{MODELS}/staging/stg_planes.sql:3:10 error binder-error": (
        "DuckDB refuses it: No function matches the given name and argument types '+(BIGINT, VARCHAR)'",
        "cast one side",
    ),
}


def orchestrator(*arguments: str, project: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "ORCHESTRATOR_"))}
    return subprocess.run(
        [sys.executable, "-c", "import sys; from orchestrator.cli import main; sys.exit(main())", *arguments],
        cwd=project, env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def findings(*arguments: str, project: Path) -> dict[str, tuple[str, str | None]]:
    """{place, severity and rule: (message, fix)}"""
    done = orchestrator("validate", *arguments, "--json", project=project)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {
        f"{item['file']}:{item['line']}:{item['column']} {item['severity']} {item['rule']}": (
            item["message"],
            item["fix"],
        )
        for item in json.loads(done.stdout)["findings"]
    }


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built once: what Python writes has columns since then."""
    copy = tmp_path_factory.mktemp("example")
    unwanted = shutil.ignore_patterns("*.duckdb*", "target", "logs", "__pycache__")
    for name in ("dbt_project", "python_assets"):
        shutil.copytree(ROOT / name, copy / name, ignore=unwanted)
    settings = 'name = "flights"\ndbt = "dbt_project"\npython = "python_assets"\n'
    (copy / "orchestrator.toml").write_text(settings, encoding="utf-8")
    done = orchestrator("run", "--engine", "local", project=copy)
    assert done.returncode == 0, done.stdout + done.stderr
    return copy


def test_the_example_has_no_findings(example: Path) -> None:
    assert findings(project=example) == {}
    said = orchestrator("validate", project=example)
    assert (said.returncode, said.stdout, said.stderr) == (0, "✓ nothing found in 18 models\n", "")


def test_ten_faults_in_the_example_are_ten_findings_at_the_right_places(example: Path, tmp_path: Path) -> None:
    copy = tmp_path / "faulty"
    shutil.copytree(example, copy)
    for file, there, instead in FAULTS:
        text = (copy / file).read_text(encoding="utf-8")
        assert text.count(there) == 1, (file, there)
        (copy / file).write_text(text.replace(there, instead), encoding="utf-8")
    assert findings(project=copy) == FOUND
    assert orchestrator("validate", project=copy).returncode == 1
