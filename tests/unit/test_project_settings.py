"""[tool.orchestrator.projects.NAME]: what a project can be, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.config import Config, PublishSettings, load_config
from orchestrator.errors import ConfigError, DefinitionErrors
from orchestrator.project_settings import ProjectSettings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("shop/dbt", "other/models/dbt", "bare"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("shop/dbt", "other/models/dbt", "bare"):
        (tmp_path / name / "dbt_project.yml").write_text("name: x\n", encoding="utf-8")
    (tmp_path / "other/orchestrator.toml").write_text(
        'dbt = "models/dbt"\npython = ["assets", "more"]\n', encoding="utf-8"
    )
    return tmp_path / "shop"


def configured(root: Path, text: str) -> Config:
    (root / "orchestrator.toml").write_text('name = "shop"\ndbt = "dbt"\n' + text, encoding="utf-8")
    return load_config(root)


def project(root: Path, text: str) -> ProjectSettings:
    return configured(root, text).projects[-1]


def errors_of(root: Path, text: str) -> list[str]:
    return [str(error).replace(f"{root}/", "") for error in project(root, text).errors]


def test_the_workspaces_own_project_is_the_first_of_them(root: Path) -> None:
    config = configured(root, 'python = "assets"\n')
    (own,) = config.projects
    assert (own.name, own.own, own.root, own.dbt_dir, own.python_packages) == (
        "shop", True, root, root / "dbt", ("assets",),
    )  # fmt: skip


def test_a_bare_dbt_project_is_a_workspace_of_one_project(root: Path) -> None:
    (own,) = load_config(root.parent / "bare").projects
    assert (own.name, own.own, own.dbt_dir) == ("bare", True, root.parent / "bare")


def test_a_checkout_says_itself_what_it_holds(root: Path) -> None:
    other = project(root, '[projects.other]\npath = "../other"\n')
    assert other.errors == ()
    assert (other.root, other.own) == (root.parent / "other", False)
    assert (other.dbt_dir, other.python_packages) == (root.parent / "other/models/dbt", ("assets", "more"))
    assert other.at == f"{root}/orchestrator.toml:3"


def test_what_is_said_here_wins(root: Path) -> None:
    other = project(root, '[projects.other]\npath = "../other"\npython = "assets"\ntargets = {prod = "live"}\n')
    assert (other.python_packages, other.targets) == (("assets",), {"prod": "live"})


def test_a_bare_dbt_project_can_be_another_one(root: Path) -> None:
    assert project(root, '[projects.bare]\npath = "../bare"\n').dbt_dir == root.parent / "bare"


def test_a_package_and_published_graphs(root: Path) -> None:
    text = """
        [projects.shared]
        package = "shared_assets"
        [projects.near]
        graph = "../graphs/near.json"
        [projects.far]
        graph = "https://example.com/far.json"
    """
    shared, near, far = configured(root, text).projects[1:]
    assert shared.package == "shared_assets"
    assert near.graph == str(root.parent / "graphs/near.json")
    assert far.graph == "https://example.com/far.json"


def test_inside_a_project_of_a_workspace_above_the_workspace_counts(tmp_path: Path) -> None:
    (tmp_path / "repos/other").mkdir(parents=True)
    (tmp_path / "repos/other/dbt_project.yml").write_text("name: other\n", encoding="utf-8")
    (tmp_path / "orchestrator.toml").write_text('[projects.other]\npath = "repos/other"\n', encoding="utf-8")
    assert load_config(tmp_path / "repos/other").root == tmp_path


def test_all_that_is_wrong_with_a_project_is_said_and_the_rest_loads(root: Path) -> None:
    text = '[projects.my-other]\npath = "../othr"\nvenv = "../venv"\npyton = "x"\ntargets = "prod"\n'
    assert errors_of(root, text) == [
        "ConfigError: 'my-other' cannot name a project: Python code refers to it by its name\n"
        "  at:  orchestrator.toml:3\n"
        "  fix: rename it, for example to 'my_other'",
        "ConfigError: unknown setting 'pyton' of project 'my-other'\n"
        "  at:  orchestrator.toml:6\n"
        "  fix: did you mean 'python'?",
        f"ConfigError: project 'my-other' is not there: {root.parent}/othr is no directory\n"
        "  at:  orchestrator.toml:4\n"
        "  fix: correct 'path', or check the repository out there",
        f"ConfigError: the virtual environment of project 'my-other' is not there: {root.parent}/venv/bin/python "
        "is no file\n"
        "  at:  orchestrator.toml:5\n"
        f"  fix: make it: python3 -m venv {root.parent}/venv && {root.parent}/venv/bin/python -m pip install "
        "dbt-orchestrator",
        "ConfigError: 'targets' must map environments to dbt targets, not 'prod'\n"
        "  at:  orchestrator.toml:7\n"
        '  fix: write targets = {prod = "live"}',
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "[projects.other]\n",
            "ConfigError: project 'other' says nowhere where it is\n"
            "  at:  orchestrator.toml:3\n"
            "  fix: give it one of path, package, graph",
        ),
        (
            '[projects.other]\npath = "../other"\ngraph = "x.json"\n',
            "ConfigError: project 'other' has path and graph\n"
            "  at:  orchestrator.toml:3\n"
            "  fix: give it one of path, package, graph",
        ),
        (
            '[projects.shop]\npath = "../other"\n',
            "ConfigError: project 'shop' is called as the workspace itself\n"
            "  at:  orchestrator.toml:3\n"
            "  fix: rename the project, or the workspace by 'name'",
        ),
        (
            '[projects.other]\ngraph = "x.json"\nvenv = "../venv"\n',
            "ConfigError: project 'other' is a published graph, which has no 'venv': nothing of it runs here\n"
            "  at:  orchestrator.toml:5\n"
            "  fix: remove 'venv'",
        ),
        (
            '[projects.other]\npath = ".."\n',
            "ConfigError: nothing to load in project 'other': {parent} has neither settings nor a dbt_project.yml\n"
            "  at:  orchestrator.toml:4\n"
            '  fix: say what it has: dbt = "dbt_project", python = "package"',
        ),
    ],
)
def test_what_is_wrong_with_a_project(root: Path, text: str, error: str) -> None:
    assert errors_of(root, text) == [error.replace("{parent}", str(root.parent))]


def test_settings_of_the_workspace_itself_are_refused_all_at_once(root: Path) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        configured(root, 'prduction = "live"\nprojects = 3\n[publish]\nafter = "production"\n')
    assert str(caught.value).replace(f"{root}/", "") == (
        "ConfigError: unknown setting 'prduction' in [tool.orchestrator]\n"
        "  at:  orchestrator.toml\n"
        "  fix: did you mean 'production'?\n\n"
        "ConfigError: 'projects' must be a table, not 3\n"
        "  at:  orchestrator.toml\n"
        '  fix: write [projects.other] and below it path = "../other"\n\n'
        "ConfigError: [publish] does not say where to\n"
        "  at:  orchestrator.toml:5\n"
        '  fix: write [publish] and below it to = "s3://bucket/graph.json" and after = "production"'
    )


def test_several_dbt_projects_are_projects_of_their_own(root: Path) -> None:
    (root / "orchestrator.toml").write_text('dbt = ["dbt", "../bare"]\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(root)
    assert str(caught.value).replace(f"{root}/", "") == (
        "ConfigError: 'dbt' names 2 projects\n"
        "  at:  orchestrator.toml\n"
        "  fix: name one here, and give each other one a table of its own: [tool.orchestrator.projects.NAME] with "
        'path = "…"'
    )


def test_where_and_when_the_graph_is_published(root: Path) -> None:
    config = configured(root, '[publish]\nto = "out/graph.json"\nafter = "production"\n')
    assert config.publish == PublishSettings(f"{root}/out/graph.json", "production", f"{root}/orchestrator.toml:3")
    with pytest.raises(ConfigError) as caught:
        configured(root, '[publish]\nto = "https://example.com/g"\nafter = "each run"\n')
    assert str(caught.value).replace(f"{root}/", "") == (
        "ConfigError: 'after' in [publish] is 'each run'\n"
        "  at:  orchestrator.toml:5\n"
        '  fix: write after = "production", or leave it out: then only `orchestrator publish` publishes'
    )
