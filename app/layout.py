"""Where the boxes of a graph go: a layered drawing, left to right, in pure Python.

Comes in: node names and edges, cycles allowed (collapsed groups form them). Goes out: a position for every node and a
path for every edge that is not straight. Always holds: the same input gives the same drawing; no two boxes overlap;
every edge goes from left to right unless it closes a cycle.

The steps are Sugiyama's: break cycles, assign columns, order the boxes inside columns so that few lines cross
(barycenters), then move them vertically towards their neighbours. Long edges run through invisible waypoints, which
all edges of one box share, so that they leave as one bundle. The vertical step solves each column exactly (pool
adjacent violators), which is what makes rows line up.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

CARD_WIDTH, CARD_HEIGHT = 208, 58
COLUMN_GAP, ROW_GAP = 50, 16
COLUMN_STEP, ROW_STEP = CARD_WIDTH + COLUMN_GAP, CARD_HEIGHT + ROW_GAP
LANE_HEIGHT = 10
"""Room a waypoint takes, so that lines do not run through boxes."""
PART_GAP = 34
LANES_PER_BOX = 3
"""Above so many waypoints a box, long edges are drawn straight: the picture is unreadable anyway and time counts."""

Edge = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions of the upper left corners; `size` is (width, height) of everything."""

    positions: dict[str, tuple[float, float]]
    paths: dict[tuple[str, str], tuple[tuple[float, float], ...]]
    """{edge: waypoints (x, y) it runs through}; edges without waypoints are left out."""
    size: tuple[float, float]


@dataclass(slots=True)
class _Part:
    """A connected part of the graph while it is drawn. Boxes come first, waypoints after them."""

    boxes: list[int]
    columns: list[list[int]] = field(default_factory=list)
    left: dict[int, list[int]] = field(default_factory=dict)
    right: dict[int, list[int]] = field(default_factory=dict)


def build_layout(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> Layout:
    """The drawing of a graph. Edges from a node to itself or to unknown nodes are ignored.

    >>> layout = build_layout(["a", "b"], [("a", "b")])
    >>> layout.positions["a"][0] < layout.positions["b"][0]
    True
    """
    index = {name: number for number, name in enumerate(dict.fromkeys(nodes))}
    names = list(index)
    pairs = sorted({(index[a], index[b]) for a, b in edges if a in index and b in index and a != b})
    forward = _break_cycles(len(names), pairs)
    column = _assign_columns(len(names), forward)
    lanes, segments = _lanes(len(names), forward, column)
    heights = [CARD_HEIGHT] * len(names) + [LANE_HEIGHT] * len(lanes)
    column += [at for _, at in lanes]
    parts, alone = _parts(len(names), column, segments)
    y = [0.0] * len(column)
    bottom = 0.0
    for part in parts:
        _order(part)
        bottom = _place(part, y, heights, top=bottom) + PART_GAP
    width = max(column, default=0) + 1 if parts else 0
    positions: dict[int, tuple[float, float]] = {
        number: (column[number] * COLUMN_STEP, y[number]) for part in parts for number in part.boxes
    }
    bottom = _place_alone(alone, positions, top=bottom, width=width)
    paths = _paths(names, forward, column, lanes, y)
    right = max((x for x, _ in positions.values()), default=0) + CARD_WIDTH
    placed = {names[number]: positions[number] for number in sorted(positions)}
    return Layout(placed, paths, (right, max(bottom - PART_GAP, CARD_HEIGHT)))


def _break_cycles(count: int, pairs: Sequence[Edge]) -> list[Edge]:
    """The edges without those that close a cycle on a depth-first walk."""
    children: list[list[int]] = [[] for _ in range(count)]
    entered = [0] * count
    for a, b in pairs:
        children[a].append(b)
        entered[b] += 1
    state = bytearray(count)  # 0 not seen, 1 on the walk, 2 done
    kept: list[Edge] = []
    for start in sorted(range(count), key=lambda node: (entered[node] > 0, node)):
        if state[start]:
            continue
        state[start] = 1
        walk = [(start, iter(children[start]))]
        while walk:
            node, rest = walk[-1]
            for child in rest:
                if state[child] == 1:
                    continue
                kept.append((node, child))
                if not state[child]:
                    state[child] = 1
                    walk.append((child, iter(children[child])))
                    break
            else:
                state[node] = 2
                walk.pop()
    kept.sort()
    return kept


def _assign_columns(count: int, edges: Sequence[Edge]) -> list[int]:
    """Longest path from the left; then boxes with more lines out than in move right, which shortens the lines."""
    parents: list[list[int]] = [[] for _ in range(count)]
    children: list[list[int]] = [[] for _ in range(count)]
    for a, b in edges:
        children[a].append(b)
        parents[b].append(a)
    waiting = [len(found) for found in parents]
    order = [node for node in range(count) if not waiting[node]]
    column = [0] * count
    for node in order:
        for child in children[node]:
            column[child] = max(column[child], column[node] + 1)
            waiting[child] -= 1
            if not waiting[child]:
                order.append(child)
    for node in reversed(order):
        if len(children[node]) > len(parents[node]):
            column[node] = min(column[child] for child in children[node]) - 1
    return column


def _lanes(count: int, edges: Sequence[Edge], column: list[int]) -> tuple[list[tuple[int, int]], list[Edge]]:
    """Waypoints as (box they come from, column), and the edges cut into pieces one column long."""
    reach = [0] * count
    for a, b in edges:
        reach[a] = max(reach[a], column[b])
    lanes = [(node, at) for node in range(count) for at in range(column[node] + 1, reach[node])]
    if len(lanes) > LANES_PER_BOX * count:
        return [], list(edges)
    first: dict[int, int] = {}
    for number, (node, _) in enumerate(lanes):
        first.setdefault(node, count + number)
    pieces: set[Edge] = set()
    for a, b in edges:
        span = column[b] - column[a]
        chain = [a, *(range(first[a], first[a] + span - 1) if span > 1 else ()), b]
        pieces.update(pairwise(chain))
    return lanes, sorted(pieces)


def _parts(boxes: int, column: list[int], edges: Sequence[Edge]) -> tuple[list[_Part], list[int]]:
    """Connected parts, the largest first, and the boxes without any line."""
    left: list[list[int]] = [[] for _ in column]
    right: list[list[int]] = [[] for _ in column]
    for a, b in edges:
        right[a].append(b)
        left[b].append(a)
    seen = bytearray(len(column))
    parts, alone = [], []
    for start in range(boxes):
        if seen[start]:
            continue
        seen[start] = 1
        members = [start]
        for node in members:
            for other in left[node] + right[node]:
                if not seen[other]:
                    seen[other] = 1
                    members.append(other)
        if len(members) == 1:
            alone.append(start)
        else:
            parts.append(_part(sorted(members), boxes, column, left, right))
    parts.sort(key=lambda part: (-len(part.boxes), part.boxes[0]))
    return parts, alone


def _part(members: list[int], boxes: int, column: list[int], left: list[list[int]], right: list[list[int]]) -> _Part:
    """A part with its columns filled in the order of a walk, which is a good start for the ordering."""
    columns: list[list[int]] = [[] for _ in range(max(column[node] for node in members) + 1)]
    seen: set[int] = set()
    for start in members:
        if left[start]:
            continue
        stack = [start]
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                columns[column[node]].append(node)
                stack.extend(reversed(right[node]))
    part = _Part([node for node in members if node < boxes], columns)
    part.left = {node: left[node] for node in members}
    part.right = {node: right[node] for node in members}
    return part


def _order(part: _Part) -> None:
    """Sort every column by the mean place of the neighbours, to and fro; keep the best of what was seen."""
    count = len(part.left)
    small = count <= 1500
    best, fewest = [list(column) for column in part.columns], _crossings(part) if small else None
    place = {node: at for column in part.columns for at, node in enumerate(column)}
    for sweep in range(8 if small else 4):
        rightwards = sweep % 2 == 0
        columns = part.columns[1:] if rightwards else part.columns[-2::-1]
        neighbours = part.left if rightwards else part.right
        for column in columns:
            mean = {node: _mean(neighbours[node], place) for node in column}
            column.sort(key=lambda node, mean=mean: place[node] if mean[node] is None else mean[node])  # type: ignore[misc]
            for at, node in enumerate(column):
                place[node] = at
        if fewest is not None and (crossings := _crossings(part)) < fewest:
            best, fewest = [list(column) for column in part.columns], crossings
        if fewest == 0:
            break
    if fewest is not None:
        part.columns = best


def _mean(neighbours: Sequence[int], place: dict[int, int]) -> float | None:
    if not neighbours:
        return None
    return sum([place[node] for node in neighbours]) / len(neighbours)


def _crossings(part: _Part) -> int:
    """Pairs of lines that cross, counted as inversions between neighbouring columns."""
    total = 0
    for column, following in pairwise(part.columns):
        place = {node: at for at, node in enumerate(following)}
        seen: list[int] = []
        for node in column:
            ends = sorted(place[other] for other in part.right[node] if other in place)
            total += sum(len(seen) - bisect_left(seen, end + 1) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _place(part: _Part, y: list[float], heights: list[int], *, top: float) -> float:
    """Move boxes towards their neighbours, column by column; returns the lower end."""
    for column in part.columns:
        at = 0.0
        for node in column:
            y[node] = at
            at += heights[node] + ROW_GAP
    rounds = max(4, min(30, 4000 // len(part.left)))
    for turn in range(rounds):
        columns = part.columns if turn % 2 == 0 else part.columns[::-1]
        for column in columns:
            _settle(column, part, y, heights)
    upper = min(y[node] for column in part.columns for node in column)
    lower = top
    for column in part.columns:
        for node in column:
            y[node] = round(y[node] + top - upper)
            lower = max(lower, y[node] + heights[node])
    return lower


def _settle(column: list[int], part: _Part, y: list[float], heights: list[int]) -> None:
    """The positions nearest to what each box wants that keep order and distance (isotonic regression)."""
    blocks: list[list[float]] = []  # [sum of wishes, weight, boxes]
    offsets = []
    offset = 0.0
    for node in column:
        height = heights[node]
        around = part.left[node] + part.right[node]
        wish = (
            sum([y[other] + heights[other] / 2 for other in around]) / len(around) - height / 2 if around else y[node]
        )
        weight = len(around) or 0.1
        offsets.append(offset)
        block = [(wish - offset) * weight, weight, 1]
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            above = blocks.pop()
            block = [above[0] + block[0], above[1] + block[1], above[2] + block[2]]
        blocks.append(block)
        offset += height + ROW_GAP
    at = 0
    for total, weight, boxes in blocks:
        for _ in range(int(boxes)):
            y[column[at]] = total / weight + offsets[at]
            at += 1


def _place_alone(alone: list[int], positions: dict[int, tuple[float, float]], *, top: float, width: int) -> float:
    """Boxes without lines stand in rows below everything else; returns the lower end."""
    if not alone:
        return top
    a_row = max(width, min(6, round(len(alone) ** 0.5) + 1))
    for number, node in enumerate(alone):
        row, at = divmod(number, a_row)
        positions[node] = (at * COLUMN_STEP, top + row * ROW_STEP)
    rows = (len(alone) - 1) // a_row + 1
    return top + float(rows * ROW_STEP - ROW_GAP + PART_GAP)


def _paths(
    names: list[str], edges: Sequence[Edge], column: list[int], lanes: list[tuple[int, int]], y: list[float]
) -> dict[tuple[str, str], tuple[tuple[float, float], ...]]:
    """The waypoints of every long edge: through its lane over the whole width of each column it passes."""
    points: dict[int, list[tuple[float, float]]] = {}
    for number, (node, at) in enumerate(lanes):
        middle = y[len(names) + number] + LANE_HEIGHT / 2
        points.setdefault(node, []).extend([(at * COLUMN_STEP, middle), (at * COLUMN_STEP + CARD_WIDTH, middle)])
    return {
        (names[a], names[b]): tuple(points[a][: 2 * (column[b] - column[a] - 1)])
        for a, b in edges
        if column[b] - column[a] > 1 and a in points
    }
