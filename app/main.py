"""The script that Streamlit runs. Everything else is in the package."""

from orchestrator_app.navigation import run  # type: ignore[import-not-found, unused-ignore]

run()
