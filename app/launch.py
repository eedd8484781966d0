"""How the app is started: the command and environment for a Streamlit server of one workspace.

Whoever starts it (`orchestrator dev`) runs `streamlit_command` with `streamlit_environment`. Nothing is read from or
written to a `.streamlit` folder of the user, except what their own configuration sets for all Streamlit apps.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT_VARIABLE = "ORCHESTRATOR_ROOT"
ENVIRONMENT_VARIABLE = "ORCHESTRATOR_ENV"

# Red is Streamlit's primary colour by default and reads as "failed" here: ours is indigo.
_THEME = {
    "baseRadius": "8px",
    "codeFontSize": "13px",
    "baseFontSize": "15",
    "showWidgetBorder": "true",
    "metricValueFontSize": "1.45rem",
    "metricValueFontWeight": "600",
    "light.codeTextColor": "#39405a",
    "dark.codeTextColor": "#c3c9dd",
    "light.primaryColor": "#4453d6",
    "light.backgroundColor": "#ffffff",
    "light.secondaryBackgroundColor": "#f4f5f9",
    "light.textColor": "#1d2333",
    "light.borderColor": "#dcdfe8",
    "dark.primaryColor": "#8f9bff",
    "dark.backgroundColor": "#12151d",
    "dark.secondaryBackgroundColor": "#1b1f2a",
    "dark.textColor": "#e7e9f1",
    "dark.borderColor": "#333a4b",
}
_SERVER = {
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "server.showEmailPrompt": "false",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorLinks": "false",
    "runner.magicEnabled": "false",
}


def streamlit_command(port: int, *, address: str = "127.0.0.1") -> list[str]:
    """The command that serves the app until it is ended. It listens on this machine only unless told otherwise."""
    flags = {"server.port": str(port), "server.address": address, **_SERVER}
    flags |= {f"theme.{name}": value for name, value in _THEME.items()}
    script = Path(__file__).with_name("main.py")
    return [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(script),
        *(f"--{name}={value}" for name, value in flags.items()),
    ]


def streamlit_environment(
    root: Path, *, environment: str | None = None, base: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment variables for `streamlit_command`: those of `base` (default: ours) and which workspace."""
    variables = dict(os.environ if base is None else base)
    variables[ROOT_VARIABLE] = str(root)
    if environment is not None:
        variables[ENVIRONMENT_VARIABLE] = environment
    return variables


__all__ = ["ENVIRONMENT_VARIABLE", "ROOT_VARIABLE", "streamlit_command", "streamlit_environment"]
