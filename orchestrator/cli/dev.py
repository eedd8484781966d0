"""`orchestrator dev`: the app, a worker and Prefect's server on this machine, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import typer

from orchestrator.cli.options import WorkspaceOptions, workspace_command

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Of the app; default: the first free one from 8501.")]


@workspace_command
def command(options: WorkspaceOptions, port: Port = None) -> int:
    """Start the app and everything it needs on this machine; Ctrl-C stops all of it.

    Runs started while it is there go through its Prefect server and show up in the app; the app's own Run buttons are
    served by its worker.
    """
    from orchestrator.config import load_config
    from orchestrator.service.dev import run_dev
    from orchestrator_app.launch import streamlit_command, streamlit_environment

    config = load_config(project_dir=options.project_dir)
    environment = options.env or options.target

    def app(chosen_port: int) -> tuple[list[str], Mapping[str, str]]:
        variables = streamlit_environment(config.root, environment=environment)
        if options.profiles_dir:
            variables["DBT_PROFILES_DIR"] = str(options.profiles_dir.absolute())
        return streamlit_command(chosen_port), variables

    flags = replace(options.flags(), target=None)  # it is the environment
    return run_dev(config.root, app=app, state_dir=config.state_dir, environment=environment, flags=flags, port=port)
