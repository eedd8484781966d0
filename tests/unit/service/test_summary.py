"""The summary of a run as markdown."""

from __future__ import annotations

from datetime import datetime, timezone

from orchestrator.definitions.events import CheckFinished, Failure, Materialization, StepFinished, StepStatus
from orchestrator.execution.results import RunResult
from orchestrator.service.summary import markdown_summary

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_failures_come_first_and_nothing_breaks_the_table() -> None:
    result = RunResult(
        run_id="0101-000000-abcd",
        environment="dev",
        status="failed",
        engine="prefect",
        steps=(
            step("raw.flights", "succeeded", duration_s=1.25, materialization=Materialization(rows=336776)),
            step("staging.flights", "failed", failure=Failure("Binder Error: a | b\n  near <c>"), duration_s=0.5),
            step("marts.delays", "blocked", reason="staging.flights failed"),
        ),
        checks=(check("not_null_id", "succeeded"), check("few_gaps", "warned", failures=1200)),
        duration_s=3.21,
    )

    assert markdown_summary(result) == (
        "# Run failed\n"
        "\n"
        "`0101-000000-abcd` in dev, 3.2 s\n"
        "\n"
        "3 steps: 1 failed, 1 blocked, 1 succeeded; 2 checks: 1 warned, 1 succeeded.\n"
        "\n"
        "| status | asset | rows | time | reason |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| failed | `staging.flights` |  | 0.5 s | Binder Error: a \\| b near &lt;c> |\n"
        "| blocked | `marts.delays` |  |  | staging.flights failed |\n"
        "| succeeded | `raw.flights` | 336,776 | 1.2 s |  |\n"
        "\n"
        "| check | name | asset | failures | reason |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| warned | `few_gaps` | `raw.flights` | 1,200 |  |"
    )


def test_a_run_of_nothing_says_so() -> None:
    result = RunResult("r", "dev", "succeeded", "prefect", steps=(), checks=(), duration_s=0)

    assert markdown_summary(result) == "# Run succeeded\n\n`r` in dev, 0.0 s\n\nNo steps."


def step(key: str, status: StepStatus, **more: object) -> StepFinished:
    fixed = {"at": NOW, "run_id": "r", "environment": "dev", "writer": f"model.p.{key}", "attempt_id": "a"}
    return StepFinished(key=key, status=status, **{**fixed, **more})  # type: ignore[arg-type]


def check(name: str, status: str, *, failures: int | None = None) -> CheckFinished:
    return CheckFinished(
        at=NOW,
        run_id="r",
        environment="dev",
        check=f"test.p.{name}",
        name=name,
        key="raw.flights",
        status=status,  # type: ignore[arg-type]
        severity="warn",
        failures=failures,
    )
