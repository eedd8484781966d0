"""Finds the packages; everything else is in pyproject.toml.

`app/` is shipped as `orchestrator_app`, so that it never meets a user's own `app` package.
"""

from setuptools import find_packages, setup

APP = "orchestrator_app"

setup(
    packages=[
        *find_packages(include=["orchestrator", "orchestrator.*"]),
        *(APP + name.removeprefix("app") for name in find_packages(include=["app", "app.*"])),
    ],
    package_dir={APP: "app"},
)
