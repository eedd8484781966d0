"""The flags that every dbt command gets."""

from __future__ import annotations

from pathlib import Path

from orchestrator.dbt_engine import DbtInvocation


def test_dbt_is_quiet_and_writes_to_our_directory() -> None:
    invocation = DbtInvocation(
        project_dir=Path("/shop"),
        profiles_dir=Path("/profiles"),
        profile="shop",
        target="prod",
        target_path=Path("/state/dbt/shop/prod"),
        vars={"b": [1], "a": "x"},
        flags=("--no-partial-parse",),
    )

    assert invocation.global_args() == [
        "--quiet",
        "--log-level=none",
        "--log-level-file=none",
        "--no-print",
        "--no-use-colors",
        "--no-send-anonymous-usage-stats",
        "--log-path",
        "/state/dbt/shop/prod/logs",
        "--project-dir",
        "/shop",
        "--profiles-dir",
        "/profiles",
        "--profile",
        "shop",
        "--target",
        "prod",
        "--vars",
        '{"a": "x", "b": [1]}',
        "--target-path",
        "/state/dbt/shop/prod",
        "--no-partial-parse",
    ]
