"""What is said at the end of a run."""

from __future__ import annotations

from orchestrator.cli.summary import blocked_by, summary_texts
from orchestrator.definitions.events import CheckFinished, Failure, RunFinished
from tests.unit.cli.stories import GRAPH, RUN, at, ends, failing_run, seen, started


def said(view: object, options: str = "") -> str:
    texts = summary_texts(view, graph=GRAPH, program="/home/ann/.venv/bin/orchestrator", options=options, now=at(9))  # type: ignore[arg-type]
    return "\n".join(text.plain for text in texts)


def test_failures_first_with_what_they_blocked_and_the_command_that_retries() -> None:
    assert (
        said(seen(failing_run()), options=" --target dev")
        == """
✗ ml.delays failed  python_assets/ml.py:3
    ValueError: not enough rows
    Traceback (most recent call last):
      File "python_assets/ml.py", line 12, in delays
        fit(rows)
    blocked:  marts.report, ops.vacuum

! 1 check warned
    unique_flight on staging.flights: 3 rows

Failed in 6.0 s  steps: 2 succeeded, 1 failed, 2 blocked; checks: 1 warned
the hook shop-on-run-end-0 failed: no such table

Next
  when it is mended    /home/ann/.venv/bin/orchestrator retry 1122-110000-ab12 --target dev
  see the record       /home/ann/.venv/bin/orchestrator runs 1122-110000-ab12 --target dev
  look at the lineage  /home/ann/.venv/bin/orchestrator dev --target dev"""
    )


def test_a_good_run_says_what_to_do_next() -> None:
    end = RunFinished(at=at(75), **RUN, status="succeeded", duration_s=75.0)
    assert (
        said(seen([started(), ends("raw.flights", 1), end]))
        == """
Succeeded in 1 min 15 s  steps: 1 succeeded

Next
  look at the lineage  /home/ann/.venv/bin/orchestrator dev
  see what is there    /home/ann/.venv/bin/orchestrator ls"""
    )


def test_a_failing_model_names_its_compiled_sql() -> None:
    broken = Failure("Runtime Error in model flights\n  Binder Error: no column x", None, "target/run/flights.sql")
    text = said(seen([started(), ends("staging.flights", 1, "failed", failure=broken)]))
    assert (
        """✗ staging.flights failed  dbt_project/models/staging/flights.sql:1
    Runtime Error in model flights
      Binder Error: no column x
    compiled: target/run/flights.sql"""
        in text
    )


def test_a_long_message_keeps_both_its_ends() -> None:
    long = Failure("\n".join(f"line {number}" for number in range(100)))
    text = said(seen([started(), ends("staging.flights", 1, "failed", failure=long)]))
    assert "line 0\n" in text
    assert "… 76 lines left out …" in text
    assert "line 99\n" in text
    assert "line 50\n" not in text


def test_a_check_on_several_assets_blocks_what_descends_from_all_of_them() -> None:
    failed = CheckFinished(
        at=at(1), **RUN, check="test.shop.delays_known", name="delays_known", key="ml.delays", status="failed",
        severity="error", failures=2,
    )  # fmt: skip
    view = seen([started(), failed, ends("marts.report", 2, "blocked"), ends("ml.delays", 2, "blocked")])
    assert blocked_by(failed, view=view, graph=GRAPH) == ["marts.report"]
    assert "✗ check delays_known on ml.delays failed (2 rows)  dbt_project/models/schema.yml:7" in said(view)
