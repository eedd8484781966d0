"""What a SELECT list produces: names, stars, COLUMNS()."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from sqlglot import exp

from orchestrator.sql.expressions import evaluate
from orchestrator.sql.relations import EXPRESSION, NOTHING, Field, Origin, Rest, Sources, merged
from orchestrator.sql.scope import Scope
from orchestrator.sql.texts import text_of

Items = list[Field | Rest]
_POSTGRES_NAMES: dict[type[exp.Expr], str] = {exp.Case: "case", exp.Coalesce: "coalesce", exp.Exists: "exists"}


def project(scope: Scope, select: exp.Select) -> Items:
    """The columns of a SELECT list, in order; the names it gives are noted in the scope as they come."""
    items: Items = []
    dialect = scope.walk.dialect
    if dialect.name == "clickhouse":
        scope.pending = {node.alias: node.this for node in select.expressions if isinstance(node, exp.Alias)}
    scope.aliases_seen = dialect.alias_in_select
    excluded = select.args.get("exclude")
    for node in select.expressions:
        made = _expanded(scope, node)
        items += made
        scope.projected += [node] * len(made)
        if len(made) == 1 and isinstance(made[0], Field):
            scope.outputs.setdefault(made[0].name, made[0])
            if isinstance(node, exp.Alias):
                scope.aliases.setdefault(made[0].name, made[0])
    if excluded:
        items = _without(items, {_column_name(scope, item) for item in excluded})
    return items


def _expanded(scope: Scope, node: exp.Expr) -> Items:
    if isinstance(node, exp.Star):
        return _starred(scope, scope.star(), node)
    if isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
        return _starred(scope, _table_star(scope, node), node.this)
    if isinstance(node, (exp.Like, exp.ILike, exp.SimilarTo, exp.Glob)) and isinstance(node.this, exp.Star):
        return [item for item in scope.star() if isinstance(item, Rest) or _like(node, item.name)]
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Star):
        return [Rest(sources=evaluate(scope, node.this, kind=EXPRESSION))]
    if isinstance(node, exp.Aliases):
        sources = evaluate(scope, node.this)
        return [Field(_name(scope, alias), sources) for alias in node.aliases if isinstance(alias, exp.Identifier)]
    columns = _columns_in(scope, node)
    if columns is not None:
        return _each_column(scope, node, columns)
    return [_field(scope, node)]


def _field(scope: Scope, node: exp.Expr) -> Field:
    if isinstance(node, exp.Alias):
        inner, alias = node.this, node.args.get("alias")
        name = _name(scope, alias) if isinstance(alias, exp.Identifier) else str(alias)
        if type(inner) is exp.Column and isinstance(inner.this, exp.Identifier):
            return scope.column(inner).renamed(name)
        return Field(name, evaluate(scope, inner), type_of(inner), Origin("expression", (inner, scope)))
    if type(node) is exp.Column and isinstance(node.this, exp.Identifier):
        found = scope.column(node)
        return found.renamed(_name(scope, node.this))
    origin = Origin("expression", (node, scope))
    return Field(unnamed(scope, node), evaluate(scope, node), type_of(node), origin)


def _name(scope: Scope, identifier: exp.Identifier) -> str:
    return scope.walk.dialect.column(identifier.name, quoted=bool(identifier.args.get("quoted")))


def type_of(node: exp.Expr) -> str | None:
    """The type that a cast gives."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node.to.sql() if isinstance(node, (exp.Cast, exp.TryCast)) else None


def unnamed(scope: Scope, node: exp.Expr) -> str:
    """The name of an expression without alias, as the database gives it, or its text where that is not known."""
    inner = node
    while isinstance(inner, (exp.Paren, exp.Cast, exp.TryCast)) and not isinstance(inner, exp.Subquery):
        inner = inner.this
    dialect = scope.walk.dialect
    if isinstance(node, exp.Dot):
        return dialect.column(node.expression.name)
    if dialect.name in ("postgres", "redshift", "materialize", "risingwave"):
        if isinstance(inner, exp.Column) and isinstance(inner.this, exp.Identifier):
            return _name(scope, inner.this)
        return _postgres_name(scope, inner)
    if isinstance(inner, exp.Subquery) and isinstance(inner.this, exp.Select) and inner.this.expressions:
        first = inner.this.expressions[0]
        if first.alias_or_name and not isinstance(first, (exp.Star, exp.Literal)):
            return dialect.column(first.alias_or_name)
    return dialect.column(text_of(node, dialect=dialect.name))


def _postgres_name(scope: Scope, node: exp.Expr) -> str:
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Select) and node.this.expressions:
        first = node.this.expressions[0]
        return first.alias_or_name.lower() or _postgres_name(scope, first)
    if isinstance(node, (exp.Window, exp.Filter, exp.WithinGroup, exp.IgnoreNulls)):
        return _postgres_name(scope, node.this)
    if type(node) in _POSTGRES_NAMES:
        return _POSTGRES_NAMES[type(node)]
    if isinstance(node, exp.Func):
        text = text_of(node, dialect="postgres")
        return (text.partition("(")[0].strip().lower() if "(" in text else text.lower()) or "?column?"
    return "?column?"


# Stars


def _table_star(scope: Scope, node: exp.Column) -> Items:
    dialect = scope.walk.dialect
    parts = [part for part in (node.args.get("catalog"), node.args.get("db"), node.args.get("table")) if part]
    path = tuple(dialect.table(part.name, quoted=bool(part.args.get("quoted"))) for part in parts)
    bound = scope.find(path)
    if bound is not None:
        scope.walk.spend(len(bound.relation.items))
        return scope.star_of(bound)
    struct = exp.Column(this=parts[-1], table=parts[-2] if len(parts) > 1 else None)
    sources = scope.column(struct).sources
    if sources:
        scope.walk.unsure(f"the fields of {'.'.join(path)} are not known")
    return [Rest(sources=sources)]


def _starred(scope: Scope, items: Items, star: exp.Expr) -> Items:
    """A star with its EXCEPT, REPLACE, RENAME and ILIKE applied."""
    if pattern := star.args.get("ilike"):
        items = [item for item in items if isinstance(item, Rest) or _matches(pattern.name, item.name, re.IGNORECASE)]
    if excluded := star.args.get("except_"):
        items = _without(items, {_column_name(scope, node) for node in excluded})
    if replaced := star.args.get("replace"):
        items = _replaced(scope, items, replaced)
    if renamed := star.args.get("rename"):
        items = _renamed(scope, items, renamed)
    return items


def _column_name(scope: Scope, node: exp.Expr) -> str:
    identifier = node.this if isinstance(node, exp.Column) else node
    quoted = bool(identifier.args.get("quoted")) if isinstance(identifier, exp.Identifier) else False
    return scope.walk.dialect.column(identifier.name, quoted=quoted)


def _without(items: Items, names: set[str]) -> Items:
    lowered = {name.lower() for name in names}
    return [
        item.less(names) if isinstance(item, Rest) else item
        for item in items
        if isinstance(item, Rest) or item.name.lower() not in lowered
    ]


def _replaced(scope: Scope, items: Items, nodes: list[exp.Expr]) -> Items:
    new = {_name(scope, node.args["alias"]): node for node in nodes if isinstance(node, exp.Alias)}
    fields = {
        name: Field(name, evaluate(scope, node.this), type_of(node.this), Origin("expression", (node.this, scope)))
        for name, node in new.items()
    }
    known = {item.name for item in items if isinstance(item, Field)}
    missing = [field for name, field in fields.items() if name not in known]
    kept = [item.less(fields) if isinstance(item, Rest) else fields.get(item.name, item) for item in items]
    return [*kept, *missing]


def _renamed(scope: Scope, items: Items, nodes: list[exp.Expr]) -> Items:
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, exp.Alias):
            names[_column_name(scope, node.this)] = _name(scope, node.args["alias"])
    made: Items = []
    for item in items:
        if isinstance(item, Rest):
            fields = [item.field(old).renamed(new) for old, new in names.items() if old not in item.without]
            made += [*fields, item.less(names)]
        else:
            made.append(item.renamed(names.get(item.name, item.name)))
    return made


# COLUMNS()


def _columns_in(scope: Scope, node: exp.Expr) -> exp.Expr | None:
    """The COLUMNS() in an expression; `t.columns('…')` and `*COLUMNS(…)` count."""
    if not scope.walk.has_columns_call or type(node) is exp.Column:
        return None
    return node.find(exp.Columns) or next(
        (found for found in node.find_all(exp.Dot) if _is_columns_call(found.expression)), None
    )


def _is_columns_call(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.lower() == "columns"


def _each_column(scope: Scope, node: exp.Expr, columns: exp.Expr) -> Items:
    """The expression once for each column that COLUMNS() means."""
    inner = node.this if isinstance(node, exp.Alias) else node
    plain = inner is columns
    alias = node.args.get("alias") if isinstance(node, exp.Alias) else None
    items: Items = []
    around = NOTHING if plain else _around(scope, inner, columns)
    for item in matching_columns(scope, columns):
        if isinstance(item, Rest):
            items.append(item if plain else Rest(sources=merged([item.all(), around], kind=EXPRESSION)))
            continue
        name = _name(scope, alias) if isinstance(alias, exp.Identifier) else item.name
        kind = _kind_around(inner, columns)
        items.append(item.renamed(name) if plain else Field(name, merged([item.sources, around], kind=kind)))
    return items


def _around(scope: Scope, node: exp.Expr, columns: exp.Expr) -> Sources:
    """What else than the columns flows into the expression."""
    copy = node.copy()
    for found in copy.find_all(type(columns)):
        found.replace(exp.Null())
    return evaluate(scope, copy, kind=EXPRESSION)


def _kind_around(node: exp.Expr, columns: exp.Expr) -> int:
    found: exp.Expr | None = columns
    strongest = EXPRESSION
    while found is not None and found is not node:
        found = found.parent
        if isinstance(found, exp.AggFunc):
            strongest = max(strongest, 3)
        elif isinstance(found, exp.Window):
            strongest = 4
    return strongest


def matching_columns(scope: Scope, node: exp.Expr) -> Iterator[Field | Rest]:
    """The columns that a COLUMNS() means; unknown rests among them."""
    argument = node.this if isinstance(node, exp.Columns) else next(iter(node.expression.expressions), exp.Star())
    items = scope.star()
    if isinstance(node, exp.Dot):
        bound = scope.find((scope.walk.dialect.table(node.this.name),))
        items = list(bound.relation.items) if bound is not None else items
    if isinstance(argument, exp.Column) and isinstance(argument.this, exp.Star):
        yield from _starred(scope, _table_star(scope, argument), argument.this)
        return
    if isinstance(argument, exp.Star):
        yield from _starred(scope, items, argument)
        return
    chosen = _chooser(scope, argument)
    if chosen is None:
        scope.walk.unsure(f"cannot tell which columns {text_of(node, dialect='duckdb')} means")
    if any(isinstance(item, Rest) for item in items):
        scope.walk.unsure("COLUMNS() over a table whose columns are not known")
    for item in items:
        if isinstance(item, Rest) or chosen is None or chosen(item.name):
            yield item


def _chooser(scope: Scope, argument: exp.Expr) -> Callable[[str], bool] | None:
    """Whether a column is meant: by a regular expression, a list of names, or a condition on the name."""
    if isinstance(argument, exp.Literal) and argument.is_string:
        try:
            pattern = re.compile(argument.name, re.IGNORECASE)
        except re.error:
            return None
        return lambda name: bool(pattern.search(name))
    if isinstance(argument, exp.Array):
        names = {item.name.lower() for item in argument.expressions}
        return lambda name: name.lower() in names
    if isinstance(argument, exp.Lambda):
        return _condition(argument.this, argument.expressions[0].name)
    return None


def _condition(node: exp.Expr, variable: str) -> Callable[[str], bool] | None:
    """A condition on a column's name, where it is one of the simple ones."""
    if isinstance(node, exp.Paren):
        return _condition(node.this, variable)
    if isinstance(node, exp.Not) and (inner := _condition(node.this, variable)) is not None:
        return lambda name: not inner(name)
    if isinstance(node, (exp.And, exp.Or)):
        left, right = _condition(node.left, variable), _condition(node.right, variable)
        if left is None or right is None:
            return None
        if isinstance(node, exp.And):
            return lambda name: left(name) and right(name)
        return lambda name: left(name) or right(name)
    if node.this is None or not isinstance(node.this, (exp.Identifier, exp.Column)) or node.this.name != variable:
        return None
    if isinstance(node, (exp.Like, exp.ILike)) and isinstance(node.expression, exp.Literal):
        return lambda name: _like(node, name)
    if isinstance(node, exp.In) and all(isinstance(item, exp.Literal) for item in node.expressions):
        names = {item.name.lower() for item in node.expressions}
        return lambda name: name.lower() in names
    if isinstance(node, exp.EQ) and isinstance(node.expression, exp.Literal):
        return lambda name: name.lower() == node.expression.name.lower()
    return None


def _like(node: exp.Expr, name: str) -> bool:
    text = node.expression.name
    if isinstance(node, exp.SimilarTo):
        return bool(re.fullmatch(text, name, re.IGNORECASE))
    if isinstance(node, exp.Glob):
        return bool(re.fullmatch(re.escape(text).replace(r"\*", ".*").replace(r"\?", "."), name, re.IGNORECASE))
    return _matches(text, name, re.IGNORECASE)


def _matches(pattern: str, name: str, flags: int) -> bool:
    """SQL's LIKE. Names were folded, so case does not count."""
    return bool(re.fullmatch(re.escape(pattern).replace("%", ".*").replace("_", "."), name, flags))
