"""What a data engineer wrote after a year with another tool, one test a sentence.

Each runs the document in docs/why that answers it: the wrong code, the error it gives, and the fix.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents import ROOT, execute, read_document

pytestmark = pytest.mark.slow  # real commands on a real dbt project


def answered(folder: str, directory: Path) -> None:
    (path,) = (ROOT / "docs/why").glob(f"{folder}-*/README.md")
    execute(read_document(path), directory)


def test_01_dependencies_are_lists_of_strings(tmp_path: Path) -> None:
    answered("01", tmp_path)


def test_02_resources_are_input_parameters_and_a_missing_one_fails_at_run_time(tmp_path: Path) -> None:
    answered("02", tmp_path)


def test_03_no_way_to_create_assets_in_different_repos(tmp_path: Path) -> None:
    answered("03", tmp_path)


def test_04_you_need_to_list_jobs_assets_and_schedules(tmp_path: Path) -> None:
    answered("04", tmp_path)


def test_05_asset_job_schedule_and_partition_in_four_places(tmp_path: Path) -> None:
    answered("05", tmp_path)


def test_06_with_external_computation_a_db_connection_resource_is_useless(tmp_path: Path) -> None:
    answered("06", tmp_path)


def test_07_a_resource_can_be_used_without_declaring_it(tmp_path: Path) -> None:
    answered("07", tmp_path)


def test_08_a_bug_because_of_the_order_of_params(tmp_path: Path) -> None:
    answered("08", tmp_path)


def test_09_duckdb_locks(tmp_path: Path) -> None:
    answered("09", tmp_path)


def test_10_a_job_must_contain_assets_with_the_same_partition(tmp_path: Path) -> None:
    answered("10", tmp_path)


def test_11_why_are_kinds_not_added_automatically(tmp_path: Path) -> None:
    answered("11", tmp_path)


def test_12_multiple_tasks_that_write_to_the_same_table(tmp_path: Path) -> None:
    answered("12", tmp_path)
