"""How the app is started."""

from __future__ import annotations

from pathlib import Path

from orchestrator_app.launch import streamlit_command, streamlit_environment


def test_it_listens_on_this_machine_only_and_asks_nobody_anything() -> None:
    command = streamlit_command(8600)
    assert "--server.address=127.0.0.1" in command
    assert "--server.port=8600" in command
    assert {"--server.headless=true", "--browser.gatherUsageStats=false", "--server.showEmailPrompt=false"} <= set(
        command
    )
    assert Path(command[4]).is_file()


def test_red_is_kept_for_failures() -> None:
    """Streamlit's own primary colour is red."""
    colours = [flag.split("=#")[1] for flag in streamlit_command(8600) if "primaryColor" in flag]
    assert len(colours) == 2
    assert all(int(colour[0:2], 16) < int(colour[4:6], 16) for colour in colours)


def test_the_workspace_travels_in_the_environment() -> None:
    assert streamlit_environment(Path("/w"), environment="prod", base={"HOME": "/h"}) == {
        "HOME": "/h",
        "ORCHESTRATOR_ROOT": "/w",
        "ORCHESTRATOR_ENV": "prod",
    }
