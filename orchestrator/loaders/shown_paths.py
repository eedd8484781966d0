"""How paths of users' files are shown: relative to the workspace, also in a checkout beside it."""

from __future__ import annotations

import os

_MOST_UP = 2
"""A path that climbs further says less than an absolute one."""


def shown_path(file: str, root: str) -> str:
    """
    >>> shown_path("/repos/shop/a.py", "/repos/shop"), shown_path("/repos/other/a.py", "/repos/shop")
    ('a.py', '../other/a.py')
    >>> shown_path("/lib/x.py", "/repos/shop/deep/inside")
    '/lib/x.py'
    """
    start = root.rstrip(os.sep) + os.sep
    if file.startswith(start):
        return file.removeprefix(start).replace(os.sep, "/")
    if not file.startswith(os.sep):
        return file
    relative = os.path.relpath(file, root).replace(os.sep, "/")
    climbs = relative.count("../")
    return relative if climbs <= _MOST_UP and climbs < root.count(os.sep) else file


__all__ = ["shown_path"]
