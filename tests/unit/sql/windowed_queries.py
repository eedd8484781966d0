"""Random models on partitioned tables: joins, groups, windows, set operations, some within a day and some across."""

from __future__ import annotations

import random

TABLES = {
    "sales": ("id", "day", "product", "amount"),
    "visits": ("seen", "person", "page"),
    "products": ("id", "label"),
}
_TIMES = {
    "sales": ("day", "date_trunc('day', day)", "day::timestamp"),
    "visits": ("seen::date", "date_trunc('day', seen)"),
}


def random_query(rng: random.Random) -> str:
    """A query with the columns (day, n) on `sales`, `visits` and `products`."""
    make = rng.choice((_plain, _grouped, _windowed, _distinct, _joined, _joined, _kept, _union, _nested, _filtered))
    return make(rng)


def _source(rng: random.Random) -> tuple[str, str, str]:
    """(FROM item, an expression for its day, a number)"""
    table = rng.choice(("sales", "visits"))
    time = rng.choice(_TIMES[table])
    number = {"sales": "amount", "visits": "page"}[table]
    if rng.random() < 0.3:
        return f"(select * from {table} where {number} > {rng.randint(0, 4)}) as t", time, number
    return table, time, number


def _plain(rng: random.Random) -> str:
    table, time, number = _source(rng)
    tail = rng.choice(("", f" where {number} % 2 = 0", " limit 5", f" order by {number}", " order by 1, 2 limit 3"))
    shift = rng.choice(("", "", "", " + interval 1 day"))
    return f"select {time}{shift} as day, {number} as n from {table}{tail}"


def _grouped(rng: random.Random) -> str:
    table, time, number = _source(rng)
    by = rng.choice((time, f"{time}, {number} % 2", "1", f"{number} % 3", f"date_trunc('week', {time})"))
    day = time if by in (time, "1") or by.startswith(f"{time},") else f"max({time})"
    aggregate = rng.choice((f"sum({number})", "count(*)", f"count(distinct {number})", f"min({number})"))
    having = rng.choice(("", "", " having count(*) > 1"))
    return f"select {day} as day, {aggregate} as n from {table} group by {by}{having}"


def _windowed(rng: random.Random) -> str:
    table, time, number = _source(rng)
    by = rng.choice((time, f"{number} % 2", f"{time}, {number} % 2"))
    function = rng.choice((f"sum({number})", f"max({number})", "count(*)"))
    over = f"{function} over (partition by {by})"
    if rng.random() < 0.3:
        return f"select {time} as day, {number} as n from {table} qualify {over} > 2"
    return f"select {time} as day, {over} as n from {table}"


def _distinct(rng: random.Random) -> str:
    table, time, number = _source(rng)
    day = rng.choice((time, f"date_trunc('month', {time})", "date '2013-01-01'"))
    return f"select distinct {day} as day, {number} % 3 as n from {table}"


def _joined(rng: random.Random) -> str:
    time = rng.choice(("v.seen::date", "date_trunc('day', v.seen)"))
    same = rng.choice((f"{time} = s.day", f"{time} = s.day + 1", "v.person = s.amount", f"{time} <= s.day"))
    side = rng.choice(("join", "left join", "full join", "semi join", "anti join", "cross join"))
    if side == "cross join":
        return f"select s.day as day, v.page as n from sales s cross join visits v where {same}"
    number = "s.amount" if side in ("semi join", "anti join") else "v.page"
    more = rng.choice(("", " and v.person = s.product"))
    return f"select s.day as day, {number} as n from sales s {side} visits v on {same}{more}"


def _kept(rng: random.Random) -> str:
    side = rng.choice(("join", "left join", "right join", "full join"))
    order = rng.choice(("sales s {} products p", "products p {} sales s")).format(side)
    number = rng.choice(("p.id", "s.amount"))
    return f"select s.day as day, {number} as n from {order} on p.id = s.product"


def _union(rng: random.Random) -> str:
    word = rng.choice(("union all", "union all", "union", "except", "intersect"))
    parts = [
        "select day, amount as n from sales",
        "select seen::date as day, page as n from visits",
        "select date '2013-02-01' as day, id as n from products",
        "select day, product as n from sales",
    ]
    return f"{rng.choice(parts)} {word} {rng.choice(parts)}"


def _nested(rng: random.Random) -> str:
    inner = random_query(rng)
    outer = rng.choice(
        (
            "select day, n from made where n is not null",
            "select day, sum(n) as n from made group by day",
            "select day, n + 1 as n from made",
            "select distinct day, n from made",
            "select m.day, p.id as n from made m left join products p on p.id = m.n",
        )
    )
    return f"with made as ({inner}) {outer}"


def _filtered(rng: random.Random) -> str:
    table, time, number = _source(rng)
    subquery = rng.choice(("select id from products", "select max(page) from visits", "select amount from sales"))
    return f"select {time} as day, {number} as n from {table} where {number} in ({subquery})"
