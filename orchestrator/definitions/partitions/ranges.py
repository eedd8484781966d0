"""Sets of whole numbers as sorted, disjoint, inclusive ranges: the arithmetic under sets of partitions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

Range = tuple[int, int]
"""The first and the last, both included."""
Ranges = tuple[Range, ...]


def merged(ranges: Iterable[Range]) -> Ranges:
    """Sorted, and joined where they touch; what ends before it begins is left out.

    >>> merged([(5, 6), (1, 2), (3, 3), (9, 8)])
    ((1, 3), (5, 6))
    """
    found: list[Range] = []
    for low, high in sorted(item for item in ranges if item[0] <= item[1]):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return tuple(found)


def common(left: Ranges, right: Ranges) -> Ranges:
    """What is in both.

    >>> common(((1, 5), (8, 9)), ((4, 8),))
    ((4, 5), (8, 8))
    """
    found: list[Range] = []
    a = b = 0
    while a < len(left) and b < len(right):
        low, high = max(left[a][0], right[b][0]), min(left[a][1], right[b][1])
        if low <= high:
            found.append((low, high))
        if left[a][1] < right[b][1]:
            a += 1
        else:
            b += 1
    return tuple(found)


def without(left: Ranges, right: Ranges) -> Ranges:
    """What is in the left one only.

    >>> without(((1, 5),), ((2, 3), (5, 9)))
    ((1, 1), (4, 4))
    """
    found: list[Range] = []
    b = 0
    for low, high in left:
        while b < len(right) and right[b][1] < low:
            b += 1
        at = b
        while at < len(right) and right[at][0] <= high:
            found.append((low, right[at][0] - 1))
            low = right[at][1] + 1
            at += 1
        found.append((low, high))
    return tuple(item for item in found if item[0] <= item[1])


def holds(ranges: Ranges, number: int) -> bool:
    """Whether a number is in one of the ranges.

    >>> holds(((1, 3), (7, 9)), 8), holds(((1, 3), (7, 9)), 5)
    (True, False)
    """
    at = bisect_right(ranges, number, key=lambda item: item[0])
    return at > 0 and number <= ranges[at - 1][1]
