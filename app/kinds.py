"""What an asset is made with, as a person sees it at a glance: a sign a kind. One's own kinds get the plain one."""

from __future__ import annotations

from collections.abc import Iterable

_SIGNS = {
    "action": "⚙️",
    "arrow": "🏹",
    "avro": "📄",
    "azure": "☁️",
    "csv": "📄",
    "dbt": "🔶",
    "duckdb": "🦆",
    "excel": "📗",
    "file": "📁",
    "gcs": "☁️",
    "http": "🌐",
    "incremental": "➕",
    "json": "📄",
    "memory": "💭",
    "pandas": "🐼",
    "parquet": "🧱",
    "polars": "🐻‍❄️",
    "postgres": "🐘",
    "python": "🐍",
    "s3": "🪣",
    "seed": "🌱",
    "sftp": "📡",
    "snapshot": "📸",
    "source": "📥",
    "sql": "🧮",
    "table": "▦",
    "view": "👁️",
}
_OWN = "🏷️"


def sign_of(kind: str) -> str:
    """The sign of a kind.

    >>> sign_of("duckdb"), sign_of("our-own")
    ('🦆', '🏷️')
    """
    return _SIGNS.get(kind.lower(), _OWN)


def shown_kinds(kinds: Iterable[str]) -> str:
    """Kinds as Markdown, each with its sign.

    >>> shown_kinds(["python", "duckdb"])
    '🐍 python&ensp;🦆 duckdb'
    """
    return "&ensp;".join(f"{sign_of(kind)} {kind}" for kind in dict.fromkeys(kinds))


__all__ = ["shown_kinds", "sign_of"]
