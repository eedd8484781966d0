"""The reference of the Python API is what the docstrings say."""

from __future__ import annotations

from tests.reference import PAGE, page


def test_the_reference_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.reference`"
