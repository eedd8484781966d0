"""What work elsewhere gets to know of resources: where they are, and no secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Env, Resource, Secret
from orchestrator.definitions.keys import Relation
from orchestrator.resources.dbt_profile import Profile, resolve_profile
from orchestrator.resources.described import describe_warehouse

POSTGRES = """
shop:
  target: dev
  outputs:
    dev:
      type: postgres
      host: "{{ env_var('PGHOST', 'db.example.com') }}"
      port: 5432
      user: loader
      password: "{{ env_var('SHOP_PASSWORD') }}"
      keepalives_idle: 0
      sslkey: /secret/key.pem
      dbname: shop
      schema: sales
"""
DUCKDB = (
    "shop: {target: dev, outputs: {dev: {type: duckdb, path: dev.duckdb, settings: {s3_secret_access_key: hidden}}}}"
)


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Profile]:
    monkeypatch.setenv("SHOP_PASSWORD", "s3cr3t")

    def resolved(text: str) -> Profile:
        (tmp_path / "dbt_project.yml").write_text("name: shop\nversion: '1'\nprofile: shop\n", encoding="utf-8")
        (tmp_path / "profiles.yml").write_text(text, encoding="utf-8")
        return resolve_profile(tmp_path, profiles_dir=tmp_path)

    return resolved


def test_a_server_by_its_address_and_the_variables_that_hold_its_secrets(profile: Callable[[str], Profile]) -> None:
    assert describe_warehouse(profile(POSTGRES), Relation("shop", "raw", "orders")) == {
        "type": "warehouse",
        "adapter": "postgres",
        "target": "dev",
        "database": "shop",
        "schema": "sales",
        "host": "db.example.com",
        "port": 5432,
        "user": "loader",
        "relation": {"database": "shop", "schema": "raw", "table": "orders"},
        "env": {"host": ["PGHOST"], "password": ["SHOP_PASSWORD"]},
    }


def test_a_file_by_its_path(profile: Callable[[str], Profile], tmp_path: Path) -> None:
    described = describe_warehouse(profile(DUCKDB))
    assert described["path"] == str(tmp_path / "dev.duckdb")
    assert "hidden" not in json.dumps(described)
    assert "relation" not in described


@dataclass(frozen=True)
class Lake(Resource):
    url: str


@dataclass(frozen=True)
class Service(Resource):
    url: str
    token: str
    key_file: str
    vault: str
    lake: Lake
    timeout_s: float = 30.0
    stations: tuple[str, ...] = ("EWR",)
    session: Any = field(default=None, repr=False)


class Vault:
    def read(self) -> str:
        raise AssertionError("nobody reads a secret to describe it")

    def __repr__(self) -> str:
        return "Vault('weather')"


def test_a_resource_by_its_settings_and_where_its_secrets_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHER_URL", "https://weather.example.com")
    service = Service(
        Env("WEATHER_URL"),
        token=Secret.env("WEATHER_TOKEN"),
        key_file=Secret.file("/run/secrets/key"),
        vault=Secret.of(Vault()),
        lake=Lake("postgresql://me:pw@lake.example.com/x"),
        session=object(),
    )
    described = service.describe()
    assert described == {
        "type": "service",
        "url": "https://weather.example.com",
        "token": {"env": "WEATHER_TOKEN"},
        "key_file": {"file": "/run/secrets/key"},
        "vault": {"secret": "Vault('weather')"},
        "lake": {"type": "lake", "url": "postgresql://me:***@lake.example.com/x"},
        "timeout_s": 30.0,
        "stations": ["EWR"],
    }
    assert json.loads(json.dumps(described)) == described
