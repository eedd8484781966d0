"""Files that only save work: whoever cannot read one works it out again, and whoever cannot write one goes on."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def keep(file: Path, content: bytes) -> None:
    """Write the file whole: a reader sees the old content or the new. Where nothing can be written, nothing is."""
    draft = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(file)
    except OSError:
        with suppress(OSError):  # a folder may be a file
            draft.unlink(missing_ok=True)
