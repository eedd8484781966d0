"""Queries: SELECT, set operations, WITH, VALUES; each becomes a relation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from sqlglot import exp

from orchestrator.sql.expressions import depend, evaluate
from orchestrator.sql.from_items import alias_columns, bind, bind_joins, distinctly_named, renamed, values
from orchestrator.sql.pivots import pivot_statement, pivoted
from orchestrator.sql.projections import project
from orchestrator.sql.relations import EXPRESSION, NOTHING, Field, Origin, Relation, Rest, Sources, add, merged
from orchestrator.sql.scope import Scope
from orchestrator.sql.walk import MAX_DEPTH, Environment, TooLargeError, Walk

MAX_ROUNDS = 8
"""Rounds until a recursive query must have settled; each one can only add sources."""


def run_query(walk: Walk, node: exp.Expr, *, env: Environment) -> Relation:
    """What a query produces. Raises TooLargeError when queries are nested too deeply."""
    walk.depth += 1
    try:
        if walk.depth > MAX_DEPTH:
            raise TooLargeError(f"queries are nested more than {MAX_DEPTH} levels deep")
        return _query(walk, node, env)
    finally:
        walk.depth -= 1


def _query(walk: Walk, node: exp.Expr, env: Environment) -> Relation:
    if (with_ := node.args.get("with_")) is not None:
        env = environment_of(walk, with_, env)
    match node:
        case exp.Select():
            return _select(walk, node, env)
        case exp.SetOperation():
            return _set_operation(walk, node, env)
        case exp.Subquery():
            return _subquery(walk, node, env)
        case exp.Paren() | exp.Lateral():
            return run_query(walk, node.this, env=env)
        case exp.Values():
            return values(Scope(walk, env), node)
        case exp.Table():
            return _from_table(walk, node, env)
        case exp.Pivot():
            return pivot_statement(walk, node, env)
        case exp.Insert() | exp.Update() | exp.Delete() | exp.Merge():
            return _writing(walk, node, env)
        case exp.Summarize():
            run_query(walk, node.this, env=env)
            return Relation([Rest()])
        case exp.Describe() | exp.Show():
            return Relation([Rest()])
    walk.unsure(f"{type(node).__name__.upper()} is not understood")
    for table in node.find_all(exp.Table):
        if (parts := walk.parts(table)) and parts[-1] not in env.ctes:
            walk.read(parts)
    return Relation([Rest()])


def _from_table(walk: Walk, node: exp.Table, env: Environment) -> Relation:
    scope = Scope(walk, env)
    bind(scope, node)
    return Relation(scope.star(), indirect=scope.indirect)


def _subquery(walk: Walk, node: exp.Subquery, env: Environment) -> Relation:
    inner = node.this
    if isinstance(inner, exp.Table) or node.args.get("joins") or node.args.get("pivots"):
        scope = Scope(walk, env)
        bind(scope, node)
        return Relation(scope.star(), indirect=scope.indirect)
    relation = run_query(walk, inner, env=env)
    return _limited(walk, node, relation, env)


def _writing(walk: Walk, node: exp.Expr, env: Environment) -> Relation:
    """A statement that writes, inside WITH; what it returns."""
    from orchestrator.sql.statements import write

    return write(walk, node, env=env).returned


# WITH


def environment_of(walk: Walk, with_: exp.Expr, env: Environment) -> Environment:
    """The names around with those that a WITH adds."""
    inner = Environment(dict(env.ctes), dict(env.scalars), env.parent)
    recursive = bool(with_.args.get("recursive"))
    for cte in with_.expressions:
        alias = cte.args.get("alias")
        if cte.args.get("scalar"):
            inner.scalars[walk.dialect.column(cte.alias)] = cte.this
            continue
        if not isinstance(alias, exp.TableAlias) or alias.this is None:
            continue
        name = walk.dialect.table(alias.this.name, quoted=bool(alias.this.args.get("quoted")))
        columns = alias_columns(walk, alias)
        body = cte.this
        before, walk.reads = walk.reads, {}
        if (recursive or walk.dialect.recursive_unsaid) and _calls_itself(walk, body, name):
            relation = _recursive(walk, body, name, columns, inner)
        else:
            relation = distinctly_named(walk, renamed(walk, run_query(walk, body, env=inner), columns))
        inner.ctes[name] = Relation(
            relation.items, indirect=relation.indirect, reads=walk.reads, origin=relation.origin
        )
        # What nobody uses is not evaluated, unless it writes.
        writes = isinstance(body, (exp.Insert, exp.Update, exp.Delete, exp.Merge))
        walk.reads = {**before, **walk.reads} if writes else before
    return inner


def _calls_itself(walk: Walk, body: exp.Expr, name: str) -> bool:
    operation = _unwrapped(body)
    if not isinstance(operation, exp.SetOperation) or operation.args.get("by_name"):
        return False
    return any(
        table.args.get("db") is None and walk.dialect.table(table.name) == name for table in body.find_all(exp.Table)
    )


def _recursive(walk: Walk, body: exp.Expr, name: str, columns: list[str], env: Environment) -> Relation:
    """Repeated until no source comes in any more: what a round reads is what the round before produced."""
    operation = cast("exp.SetOperation", _unwrapped(body))
    if (with_ := operation.args.get("with_")) is not None:
        env = environment_of(walk, with_, env)
    current = renamed(walk, run_query(walk, operation.this, env=env), columns)
    for _ in range(MAX_ROUNDS):
        inner = Environment({**env.ctes, name: current}, env.scalars, env.parent)
        step = run_query(walk, operation.expression, env=inner)
        following = renamed(walk, _united(walk, operation, current, step), columns)
        if _same(following, current):
            break
        current = following
    return _without_origin(current)


def _without_origin(relation: Relation) -> Relation:
    """What repeats itself has no end that a fingerprint could begin with."""
    items = [Field(item.name, item.sources, item.type) if isinstance(item, Field) else item for item in relation.items]
    return Relation(items, indirect=relation.indirect, reads=relation.reads)


def _same(left: Relation, right: Relation) -> bool:
    if left.indirect != right.indirect or len(left.items) != len(right.items):
        return False
    return all(_of(a) == _of(b) for a, b in zip(left.items, right.items, strict=True))


def _of(item: Field | Rest) -> Sources:
    return item.sources if isinstance(item, Field) else item.all()


def _unwrapped(node: exp.Expr) -> exp.Expr:
    while isinstance(node, (exp.Subquery, exp.Paren)) and not node.args.get("with_"):
        node = node.this
    return node


# Set operations


def _set_operation(walk: Walk, node: exp.SetOperation, env: Environment) -> Relation:
    """A chain of set operations leans to the left and may be long, so it is walked and not recursed into."""
    chain: list[tuple[exp.SetOperation, Environment]] = []
    first: exp.Expr = node
    while isinstance(first, exp.SetOperation):
        if first is not node and (with_ := first.args.get("with_")) is not None:
            env = environment_of(walk, with_, env)
        chain.append((first, env))
        first = first.this
    relation = run_query(walk, first, env=env)
    for operation, inner in reversed(chain):
        right = run_query(walk, operation.expression, env=inner)
        relation = _united(walk, operation, relation, right)
        relation = _limited(walk, operation, relation, inner)
    return relation


def _united(walk: Walk, node: exp.SetOperation, left: Relation, right: Relation) -> Relation:
    indirect = merged([left.indirect, right.indirect])
    if not isinstance(node, exp.Union) or node.args.get("distinct") is not False:
        add(indirect, merged([left.everything(), right.everything()]))
    origin = Origin("set", (node, left, right))
    if node.args.get("by_name"):
        return Relation(_by_name(left, right), indirect=indirect, origin=origin)
    if left.closed and right.closed:
        return Relation(_by_position(walk, node, left, right), indirect=indirect, origin=origin)
    walk.unsure("a set operation over tables whose columns are not known")
    return Relation(_by_guess(left, right), indirect=indirect)


def _by_position(walk: Walk, node: exp.Expr, left: Relation, right: Relation) -> list[Field]:
    one, other = left.fields, right.fields
    walk.spend(len(one))
    if len(one) != len(other):
        message = f"the sides of {type(node).__name__.upper()} have {len(one)} and {len(other)} columns"
        walk.complain("set_operation_columns", message, cast("exp.Expr", node.args["expression"]))
        walk.unsure(message)
    rest = one[len(other) :]
    pairs = zip(one, other, strict=False)
    return [*(_either(a, b) for a, b in pairs), *rest]


def _either(left: Field, right: Field) -> Field:
    """A column of a set operation."""
    return Field(left.name, merged([left.sources, right.sources]), left.type, Origin("set", (left, right)))


def _by_name(left: Relation, right: Relation) -> list[Field | Rest]:
    items: list[Field | Rest] = []
    for item in left.items:
        if isinstance(item, Field) and (other := right.lookup(item.name)) is not None:
            items.append(_either(item, other))
        else:
            items.append(item)
    for item in right.items:
        if isinstance(item, Rest) or left.find(item.name) is None:
            items.append(item)
    return items


def _by_guess(left: Relation, right: Relation) -> list[Field | Rest]:
    """By name, since positions are not known: equal tables are what is united most."""
    items: list[Field | Rest] = []
    for item in left.fields:
        other = right.lookup(item.name)
        items.append(Field(item.name, merged([item.sources, other.sources if other else NOTHING]), item.type))
    if not left.closed:
        known = {item.name for item in items if isinstance(item, Field)}
        for item in right.fields:
            if item.name not in known and (own := left.lookup(item.name)) is not None:
                items.append(Field(item.name, merged([own.sources, item.sources]), item.type))
        known = {item.name for item in items if isinstance(item, Field)}
        items.append(_joined([*left.rests, *right.rests], known))
    return items


def _joined(rests: Iterable[Rest], known: set[str]) -> Rest:
    every = list(rests)
    tables = tuple(dict.fromkeys(table for rest in every for table in rest.tables))
    return Rest(tables, merged(rest.sources or NOTHING for rest in every) or None, frozenset(known))


# SELECT


def _select(walk: Walk, select: exp.Select, env: Environment) -> Relation:
    scope = Scope(walk, env, select=select)
    arguments = select.args
    if (from_ := arguments.get("from_")) is not None:
        bind(scope, from_.this)
    bind_joins(scope, select)
    if env.scalars:
        scope.pending = dict(env.scalars)
        scope.aliases_seen = True
    for pivot in arguments.get("pivots") or ():
        relation = pivoted(scope, Relation(scope.star(), indirect=scope.indirect), pivot)
        scope.bounds = [type(scope.bounds[0])((), relation)] if scope.bounds else []
    if windows := arguments.get("windows"):
        scope.windows = {window.name.lower(): window for window in windows}
    match_ = arguments.get("match")
    if match_ is not None:
        _match_recognize(scope, match_)
    items = scope.items = project(scope, select)
    _rows(scope, select, items)
    if arguments.get("kind") == "STRUCT" or arguments.get("kind") == "VALUE":
        walk.unsure(f"SELECT AS {arguments['kind']} makes one column without a name")
    return Relation(items, indirect=scope.indirect, origin=Origin("select", (scope, select, items)))


def _rows(scope: Scope, select: exp.Select, items: list[Field | Rest]) -> None:
    """Everything that decides which rows come out."""
    arguments, dialect = select.args, scope.walk.dialect
    for bound in scope.bounds:
        scope.depend(bound.relation.indirect)
    scope.aliases_seen = dialect.alias_in_where
    for name in ("where", "prewhere", "connect"):
        if (clause := arguments.get(name)) is not None:
            depend(scope, [clause])
    scope.aliases_seen = True
    scope.outputs_seen = dialect.name == "bigquery"
    if (group := arguments.get("group")) is not None:
        _group(scope, group, items)
    scope.aliases_seen = dialect.alias_in_having
    depend(scope, [arguments.get("having")])
    scope.aliases_seen = True
    depend(scope, [arguments.get("qualify")])
    if (distinct := arguments.get("distinct")) is not None:
        if (on := distinct.args.get("on")) is not None:
            for node in on.expressions if isinstance(on, exp.Tuple) else (on,):
                scope.depend(_output(scope, node, items) or evaluate(scope, node, kind=EXPRESSION))
            _order(scope, select, items)
        else:
            scope.depend(merged(_of(item) for item in items))
    limited = any(arguments.get(name) is not None for name in ("limit", "offset"))
    if limited:
        _order(scope, select, items)
        depend(scope, [arguments.get("limit"), arguments.get("offset")])
    else:
        _look(scope, select)


def _look(scope: Scope, select: exp.Select) -> None:
    """An order decides about no row, but names in it can be wrong and it can hold subqueries."""
    kept = dict(scope.indirect)
    for name in ("order", "sort", "distribute", "cluster"):
        clause = select.args.get(name)
        for item in clause.expressions if clause is not None else ():
            if not _of_output(scope, item):
                evaluate(scope, item)
    scope.indirect.clear()
    scope.indirect.update(kept)


def _of_output(scope: Scope, ordered: exp.Expr) -> bool:
    node = ordered.this if isinstance(ordered, exp.Ordered) else ordered
    if isinstance(node, exp.Column) and node.args.get("table") is None and isinstance(node.this, exp.Identifier):
        return scope.walk.dialect.column(node.name, quoted=bool(node.this.args.get("quoted"))) in scope.outputs
    return isinstance(node, exp.Literal)


def _order(scope: Scope, select: exp.Select, items: list[Field | Rest]) -> None:
    order = select.args.get("order")
    for ordered in order.expressions if order is not None else ():
        node = ordered.this if isinstance(ordered, exp.Ordered) else ordered
        scope.depend(_output(scope, node, items) or evaluate(scope, node, kind=EXPRESSION))


def _output(scope: Scope, node: exp.Expr, items: list[Field | Rest]) -> Sources:
    """The sources of an output column, named or numbered."""
    if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
        at = int(node.name) - 1
        return _of(items[at]) if 0 <= at < len(items) else NOTHING
    if isinstance(node, exp.Var) and node.name.upper() == "ALL":
        return merged(_of(item) for item in items)
    if isinstance(node, exp.Column) and node.args.get("table") is None and isinstance(node.this, exp.Identifier):
        alias = scope.outputs.get(scope.walk.dialect.column(node.name, quoted=bool(node.this.args.get("quoted"))))
        return alias.sources if alias is not None else NOTHING
    return NOTHING


def _group(scope: Scope, group: exp.Expr, items: list[Field | Rest]) -> None:
    if group.args.get("all"):
        for node, item in _plain_items(scope, items):
            if node is None or node.find(exp.AggFunc) is None:
                scope.depend(_of(item))
    for node in _flat_grouping(group):
        number = isinstance(node, exp.Literal) and not node.is_string
        scope.depend(_output(scope, node, items) if number else evaluate(scope, node, kind=EXPRESSION))


def _plain_items(scope: Scope, items: list[Field | Rest]) -> Iterator[tuple[exp.Expr | None, Field | Rest]]:
    """What is produced, with the projection that each came from; without it where columns were left out again."""
    nodes = scope.projected
    if len(nodes) == len(items):
        yield from zip(nodes, items, strict=True)
    else:
        yield from ((None, item) for item in items)


def _flat_grouping(group: exp.Expr) -> Iterator[exp.Expr]:
    """What is grouped by, also inside ROLLUP, CUBE and GROUPING SETS, where a number or a name may stand as well."""
    waiting = list(reversed(group.expressions))
    for name in ("grouping_sets", "cube", "rollup"):
        waiting += [node for node in group.args.get(name) or () if isinstance(node, exp.Expr)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (exp.Rollup, exp.Cube, exp.GroupingSets, exp.Tuple)):
            waiting += reversed(node.expressions)
        elif isinstance(node, exp.Paren):
            waiting.append(node.this)
        else:
            yield node


def _limited(walk: Walk, node: exp.Expr, relation: Relation, env: Environment) -> Relation:
    """A query in parentheses, or a set operation, with its own ORDER BY and LIMIT."""
    order = node.args.get("order")
    limited = node.args.get("limit") is not None or node.args.get("offset") is not None
    if not limited and order is None:
        return relation
    indirect = dict(relation.indirect)
    for ordered in order.expressions if order is not None and limited else ():
        inner = ordered.this if isinstance(ordered, exp.Ordered) else ordered
        for column in inner.find_all(exp.Column):
            if (found := relation.lookup(walk.dialect.column(column.name))) is not None:
                add(indirect, found.sources)
        if isinstance(inner, exp.Literal) and inner.name.isdigit() and 0 < int(inner.name) <= len(relation.items):
            add(indirect, _of(relation.items[int(inner.name) - 1]))
        elif isinstance(inner, exp.Var) and inner.name.upper() == "ALL":
            add(indirect, relation.everything())
    return Relation(relation.items, indirect=indirect, origin=Origin("limit", (node, relation)))


def _match_recognize(scope: Scope, node: exp.Expr) -> None:
    """Its measures are columns; its variables stand for rows of the input."""
    scope.walk.unsure("MATCH_RECOGNIZE is followed only as a whole: each measure may come from every column it names")
    inner = Relation(scope.star())
    names = {column.args["table"].name for column in node.find_all(exp.Column) if column.args.get("table")}
    from orchestrator.sql.scope import Bound

    variables = Scope(scope.walk, scope.env, [Bound((), inner)])
    variables.bounds += [Bound((scope.walk.dialect.table(name),), inner, starred=False) for name in names]
    partition = [
        Field(item.name, item.sources)
        for node_ in node.args.get("partition_by") or ()
        if isinstance(node_, exp.Column) and (item := variables.column(node_))
    ]
    measures: list[Field | Rest] = [*partition]
    for measure in node.args.get("measures") or ():
        alias = measure.this
        if isinstance(alias, exp.Alias):
            name = scope.walk.dialect.column(alias.alias)
            measures.append(Field(name, evaluate(variables, alias.this, kind=EXPRESSION)))
    depend(variables, [*(node.args.get("partition_by") or ()), node.args.get("order")])
    depend(variables, [item.this for item in node.args.get("define") or ()])
    scope.depend(variables.indirect)
    if node.args.get("rows") and "ALL ROWS" in str(node.args["rows"]).upper():
        measures = [*inner.items, *measures]
    scope.bounds = [Bound((), Relation(measures))]
