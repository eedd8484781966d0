"""Secrets that are kept in Prefect: what `Secret.prefect_block(…)` asks. Prefect is imported when one is read."""

from __future__ import annotations

from typing import Any

from orchestrator.definitions.settings import SettingError


def read_secret_block(name: str) -> str:
    """The value of a Secret block of the API in force. Raises SettingError where there is no API or no such block."""
    from prefect.blocks.system import Secret
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        # Prefect would start a server of its own, with no block in it.
        raise SettingError(
            f"the Prefect block '{name}' cannot be read: no Prefect API is configured", fix="set PREFECT_API_URL"
        )
    load: Any = Secret.load  # typed without the argument that keeps it from returning a coroutine
    try:
        return str(load(name, _sync=True).get())
    except Exception as exc:
        raise SettingError(
            f"the Prefect block '{name}' cannot be read: {str(exc).strip().splitlines()[0] if str(exc) else exc!r}",
            fix=f"make a block of type Secret with the name '{name}', or correct the name",
        ) from exc
