import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.definitions import selection as tree
from orchestrator.definitions.selection import And, At, Downstream, Expression, Method, Name, Not, Or, Upstream
from orchestrator.errors import SelectionError
from orchestrator.graph.selection import parse

a, b, c = Name("a"), Name("b"), Name("c")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", tree.All()),
        ("  ", tree.All()),
        ("*", tree.All()),
        ("raw.flights", Name("raw.flights")),
        ("raw.*", Name("raw.*")),
        ("a b", Or((a, b))),
        ("a,b", And((a, b))),
        ("a , b", And((a, b))),
        ("a b,c", Or((a, And((b, c))))),
        ("(a b),c", And((Or((a, b)), c))),
        ("not a", Not(a)),
        ("not not a", Not(Not(a))),
        ("a,not b", And((a, Not(b)))),
        ("not (a b)", Not(Or((a, b)))),
        ("+a", Upstream(a)),
        ("a+", Downstream(a)),
        ("a+2", Downstream(a, 2)),
        ("2+a", Upstream(a, 2)),
        ("2+a+", Or((Upstream(a, 2), Downstream(a)))),
        ("+(a b)+1", Or((Upstream(Or((a, b))), Downstream(Or((a, b)), 1)))),
        ("@a", At(a)),
        ("@(a,b)", At(And((a, b)))),
        ("models/marts", Method("path", "models/marts")),
        ("path:models/marts+", Downstream(Method("path", "models/marts"))),
        ("tag:daily", Method("tag", "daily")),
        ("+tag:daily", Upstream(Method("tag", "daily"))),
        ("owner:ops+night@example.com", Method("owner", "ops+night@example.com")),
        ("owner:'Data Team'+", Downstream(Method("owner", "Data Team"))),
        ('"a b"', Name("a b")),
        ('"not"', Name("not")),
        ("package:shop", Method("project", "shop")),
        ("config.materialized:view", Method("kind", "view")),
        ("state:stale,failed", Or((Method("state", "stale"), Method("state", "failed")))),
        ("state:stale,tag:daily", And((Method("state", "stale"), Method("tag", "daily")))),
    ],
)
def test_text_means(text: str, expected: Expression) -> None:
    assert parse(text) == expected


FIX = "  fix: a space means or, a comma means and; '+x', 'x+2', '@x', 'not x', 'tag:x', '(x y)' are understood"


@pytest.mark.parametrize(
    ("text", "what", "column"),
    [
        ("(a b", "')' is missing", 5),
        ("a)", "')' has no '(' before it", 2),
        ("a,", "a name is missing", 3),
        (",a", "a name is missing", 1),
        ("a,,b", "a name is missing", 3),
        ("not", "a name is missing", 4),
        ("()", "a name is missing", 2),
        ("+", "'+' cannot be read", 1),
        ("a ++b", "'++b' cannot be read", 3),
        ("a b'c", "a quote is not closed", 3),
        ("tag:", "'tag:' has no value", 1),
        ("(" * 101 + "a" + ")" * 101, "too many parentheses in each other", 101),
    ],
)
def test_what_is_no_selection_is_refused_with_the_column(text: str, what: str, column: int) -> None:
    with pytest.raises(SelectionError) as caught:
        parse(text)
    assert (
        str(caught.value) == f"SelectionError: the selection '{text}' is wrong: {what}\n  at:  column {column}\n{FIX}"
    )
    assert caught.value.exit_code == 2


def test_an_unknown_method_is_refused_with_what_was_meant() -> None:
    with pytest.raises(SelectionError) as caught:
        parse("a grup:daily")
    assert str(caught.value) == (
        "SelectionError: the selection 'a grup:daily' is wrong: 'grup:' is no method\n"
        "  at:  column 3\n"
        "  fix: did you mean 'group:'?"
    )


def test_at_and_plus_do_not_go_together() -> None:
    with pytest.raises(SelectionError) as caught:
        parse("@a+")
    assert str(caught.value) == (
        "SelectionError: the selection '@a+' is wrong: '@' and '+' do not go together\n"
        "  at:  column 1\n"
        "  fix: '@x' already goes both ways"
    )


words = st.sampled_from(["raw.flights", "not", "a b", "2+x", "raw.*", "tag:x", "x+", "@x", "and(", "é"])
leaves = st.one_of(st.builds(Name, words), st.builds(Method, st.sampled_from(tree.METHODS), words), st.just(tree.All()))
depths = st.one_of(st.none(), st.integers(0, 3))


def compound(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Upstream, inner, depths),
        st.builds(Downstream, inner, depths),
        st.builds(At, inner),
        st.builds(Not, inner),
        st.builds(And, several),
        st.builds(Or, several),
    )


@given(st.recursive(leaves, compound, max_leaves=6))
@settings(max_examples=200, deadline=None)
def test_an_expression_shown_as_text_is_parsed_back(expression: Expression) -> None:
    assert parse(str(expression)) == expression


@given(st.text("ab+@,()'\" *:/2not", max_size=12))
@settings(max_examples=300, deadline=None)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse(text)
    except SelectionError as error:
        assert error.at  # noqa: PT017
