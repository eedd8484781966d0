"""A box of the lineage graph, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Card:
    """One box. `tone` is the colour of `word` (green, orange, red, blue, violet, gray), `glyph` the same as a sign."""

    id: str
    title: str
    subtitle: str
    icon: str
    """table, view, incremental, python, seed, snapshot, source, action, consumer or group."""
    word: str
    tone: str
    glyph: str
    hint: str
    """Shown when the pointer rests on the card, and read aloud."""
    focus: bool = False
    outside: bool = False
    """Not written here: drawn with a dashed border."""
