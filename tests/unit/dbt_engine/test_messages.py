"""What dbt says, shortened, with its place and a way out."""

from __future__ import annotations

from pathlib import Path

from orchestrator.dbt_engine.messages import dbt_error, one_line, shortened


def write(directory: Path, name: str, text: str) -> Path:
    file = directory / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_jinja_error_names_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, "models/a.sql", "select {{ 1 + }} as id")
    raw = (
        "Compilation Error in model a (models/a.sql)\n  unexpected 'end of print statement'\n"
        "    line 1\n      select {{ 1 + }} as id"
    )

    assert str(dbt_error(raw, project_dir=tmp_path)) == (
        "DbtProjectError: Compilation Error in model a (models/a.sql)\n"
        "  unexpected 'end of print statement'\n"
        "    line 1\n"
        "      select {{ 1 + }} as id\n"
        f"  at:  {tmp_path}/models/a.sql:1\n"
        "  fix: correct the file; `dbt parse` shows the whole message"
    )


def test_a_missing_ref_points_to_the_line_of_the_ref(tmp_path: Path) -> None:
    write(tmp_path, "models/a.sql", "select *\nfrom {{ ref('nope') }}")
    raw = "Compilation Error\n  Model 'model.shop.a' (models/a.sql) depends on a node named 'nope' which was not found"

    assert str(dbt_error(raw, project_dir=tmp_path)) == (
        "DbtProjectError: Model 'model.shop.a' (models/a.sql) depends on a node named 'nope' which was not found\n"
        f"  at:  {tmp_path}/models/a.sql:2\n"
        "  fix: correct the name in ref(), or create the model"
    )


def test_yaml_named_without_its_directory_is_found(tmp_path: Path) -> None:
    write(tmp_path, "models/marts/s.yml", "models:\n  - name: a\n   description: x\n")
    raw = (
        "Parsing Error\n  Error reading shop: s.yml - Runtime Error\n    Syntax error near line 3\n"
        "    ------------------------------\n    1  | models:\n    \n    Raw Error:\n    --------------------\n"
        '    while parsing a block collection\n      in "<unicode string>", line 2, column 3\n'
        "    did not find expected '-' indicator\n"
    )

    assert str(dbt_error(raw, project_dir=tmp_path)) == (
        "DbtProjectError: Error reading shop: s.yml\n"
        "  Syntax error near line 3\n"
        "  1  | models:\n"
        "  while parsing a block collection\n"
        "  did not find expected '-' indicator\n"
        f"  at:  {tmp_path}/models/marts/s.yml:3\n"
        "  fix: correct the YAML"
    )


def test_a_message_without_a_file_is_found_by_the_line_it_quotes(tmp_path: Path) -> None:
    write(tmp_path, "macros/m.sql", "\n{% macro a( %}x{% endmacro %}")
    raw = "Compilation Error\n  expected token 'name', got '%'\n    line 2\n      {% macro a( %}x{% endmacro %}"

    assert dbt_error(raw, project_dir=tmp_path).at == f"{tmp_path}/macros/m.sql:2"


def test_an_environment_variable_is_found_where_it_is_read(tmp_path: Path) -> None:
    write(tmp_path, "models/a.sql", "select 1,\n  {{ env_var('NOPE') }}")

    error = dbt_error("Parsing Error\n  Env var required but not provided: 'NOPE'", project_dir=tmp_path)

    assert str(error) == (
        "DbtProjectError: Env var required but not provided: 'NOPE'\n"
        f"  at:  {tmp_path}/models/a.sql:2\n"
        "  fix: set the environment variable, or give env_var() a default"
    )


def test_a_missing_adapter_is_named_in_the_fix(tmp_path: Path) -> None:
    error = dbt_error("Runtime Error\n  Could not find adapter type snowflake!", project_dir=tmp_path)

    assert error.fix == "install the adapter, for example `pip install dbt-snowflake`"
    assert error.exit_code == 2


def test_packages_that_cannot_be_fetched_say_what_helps(tmp_path: Path) -> None:
    error = dbt_error("External connection exception occurred: HTTPSConnectionPool(…)", project_dir=tmp_path)

    assert error.fix == (
        "the project's packages are not installed and their host cannot be reached: run `dbt deps` where it can, or "
        "copy dbt_packages/ here"
    )


def test_colours_times_and_the_rest_of_a_long_message_go() -> None:
    text = "\x1b[31m12:00:01  Database Error\x1b[0m\n\n" + "\n".join(f"  line {number}" for number in range(20))

    assert shortened(text, lines=2) == "line 0\nline 1\n… and 18 more lines"


def test_a_warning_is_one_line() -> None:
    text = "[WARNING][SomeDeprecation]: Deprecated\nfunctionality\nDo not do\nthis."

    assert one_line(text) == "Do not do this."
