"""Conditions on obs and draws: what meets them, what is refused, and that order moves no cell."""

import numpy as np
import pytest

from scgx.cells import sample
from scgx.cells.where import Condition, parse
from scgx.errors import DataError, UsageError
from scgx.h5ad.frame import Categorical, Frame, Nullable, categorical

WORDS = np.array([*"ABAC", None, "CD4, naive"], dtype=object)
OBS = Frame(
    np.array([f"c{i}" for i in range(6)], dtype=object),
    {
        "kind": categorical(WORDS),
        "donor": WORDS,
        "n genes": np.array([100, 200, 300, 200, 50, 0]),
        "pct": np.array([0.1, 0.2, np.nan, 0.3, 0.1, 0.5], dtype=np.float32),
        "whole": Nullable(np.array([1, 2, 3, 1, 2, 3]), np.array([0, 0, 0, 0, 1, 1], bool)),
        "good": np.array([True, False, True, True, False, False]),
        "cluster": Categorical(np.array([0, 1, 1, 0, -1, 1]), np.array([3, 7])),
        "unused": categorical(["x"] * 6, ["x", "y"]),
        "text": np.array(["1", "2", "10", "3", "4", "5"], dtype=object),
    },
)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("cell_type=B", ("cell_type", "=", "B")),
        (" cell type == CD4, naive ", ("cell type", "=", "CD4, naive")),
        ("a!=b=c", ("a", "!=", "b=c")),
        ("n>=1e3", ("n", ">=", "1e3")),
        ("n <-0.5", ("n", "<", "-0.5")),
    ],
)
def test_an_expression_is_a_column_a_sign_and_a_value(text, condition):
    assert parse(text) == Condition(*condition)


@pytest.mark.parametrize("text", ["", "donor", "=B", "donor=", "n>many", "!=x", "<5"])
def test_what_is_no_expression_is_a_usage_error(text):
    with pytest.raises(UsageError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("kind=A", [0, 2]),
        ("donor=A,B", [0, 1, 2]),
        ("kind=CD4, naive", [5]),
        ("kind!=A", [1, 3, 5]),
        ("donor!=A, C", [1, 5]),
        ("n genes>=200", [1, 2, 3]),
        ("n genes=200", [1, 3]),
        ("n genes!=200,100", [2, 4, 5]),
        ("n genes<1e2", [4, 5]),
        ("pct=0.1", [0, 4]),
        ("pct>0.1", [1, 3, 5]),
        ("pct!=0.1", [1, 3, 5]),
        ("whole=1,2", [0, 1, 3]),
        ("whole<=2", [0, 1, 3]),
        ("whole!=1", [1, 2]),
        ("good=true", [0, 2, 3]),
        ("good!=True", [1, 4, 5]),
        ("cluster=7", [1, 2, 5]),
        ("cluster!=7", [0, 3]),
        ("cluster>3", [1, 2, 5]),
        ("unused!=y", [0, 1, 2, 3, 4, 5]),
        ("text>=3", [2, 3, 4, 5]),
    ],
)
def test_a_condition_holds_of_these_rows_and_never_of_missing_values(text, rows):
    assert np.flatnonzero(sample.mask(OBS, parse(text))).tolist() == rows


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("knd=A", "did you mean 'kind'"),
        ("kind=CD4 naive", "no cell has kind 'CD4 naive' (did you mean 'CD4, naive'"),
        ("donor!=Z", "there is A, B, C"),
        ("n genes=many", "'many' is none"),
        ("kind>=3", "column 'kind' holds words"),
        ("good=perhaps", "no cell has good 'Perhaps'"),
    ],
)
def test_what_the_table_does_not_know_is_refused(text, says):
    with pytest.raises(DataError) as refused:
        sample.mask(OBS, parse(text))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("kind == 'A'", [0, 2]),
        ("'A' == kind", [0, 2]),
        ("kind in ('A', 'CD4, naive')", [0, 2, 5]),
        ("kind not in ['A']", [1, 3, 5]),
        ("`n genes` >= 200 and kind != 'A'", [1, 3]),
        ("100 < `n genes` <= 200", [1, 3]),
        ("pct > 0.1 or good == True", [0, 1, 2, 3, 5]),
        ("not good", [1, 4, 5]),
        ("not (kind == 'A' or cluster == 7)", [3]),
        ("not pct > 0.1", [0, 4]),
        ("not kind == 'A'", [1, 3, 5]),
        ("not (pct > 0.1 and whole < 3)", [0, 2, 4]),
        ("not (pct > 9 and whole < 4)", [0, 1, 3, 4, 5]),
        ("whole in (1, 3) and not donor == 'B'", [0, 2, 3]),
        ("-1 < pct", [0, 1, 3, 4, 5]),
        ("kind == 'A' == kind", [0, 2]),
    ],
)
def test_an_expression_holds_of_these_rows_and_what_is_missing_is_neither(text, rows):
    assert np.flatnonzero(sample.mask(OBS, parse(text))).tolist() == rows


@pytest.mark.parametrize(
    "text",
    [
        "kind == 'A' and",
        "kind == 'A' and donor == B",
        "__import__('os').system('true') == 1",
        "kind.upper() == 'A'",
        "kind == f'{donor}'",
        "[c for c in kind] == 'A'",
        "(kind == 'A') & (pct > 1)",
        "pct + 1 > 'A'",
        "kind > 'A'",
        "kind in 'A'",
        "kind in ()",
        "kind is 'A'",
        "kind == b'A'",
        "kind == None and good",
        "'A' == 'A'",
        "lambda: 'A'",
        "not 1",
        "(" * 3000 + "'A'",
        "x" * 5000,
    ],
)
def test_what_is_no_expression_is_refused_and_never_run(text):
    with pytest.raises(UsageError):
        parse(text)


NAMES = np.array([f"cell{i}" for i in range(1000)], dtype=object)
GROUPS = np.array(["abbcccc"[i % 7] if i % 10 else None for i in range(1000)], dtype=object)


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_the_order_of_the_rows_moves_no_cell(groups):
    order = np.random.default_rng(0).permutation(1000)
    mixed = None if groups is None else groups[order]
    first = sample.draw(NAMES, 123, seed=1, groups=groups)
    second = sample.draw(NAMES[order], 123, seed=1, groups=mixed)
    assert len(first) == 123 and (np.diff(first) > 0).all()
    assert set(NAMES[first]) == set(NAMES[order][second])
    assert set(first) <= set(sample.draw(NAMES, 500, seed=1).tolist()) or groups is not None
    assert set(first) != set(sample.draw(NAMES, 123, seed=2, groups=groups).tolist())


def test_every_group_gets_its_share():
    rows = sample.draw(NAMES, 200, seed=0, groups=GROUPS)
    for group in ("a", "b", "c", None):
        assert abs((GROUPS[rows] == group).sum() - np.sum(group == GROUPS) / 5) < 1


def test_every_group_gives_at_most_so_many():
    rows = sample.draw_each(NAMES, 150, GROUPS, seed=0)
    taken = {group: int((GROUPS[rows] == group).sum()) for group in ("a", "b", "c", None)}
    assert taken == {"a": int((GROUPS == "a").sum()), "b": 150, "c": 150, None: 100}


def test_more_than_there_are_is_all_and_a_share_is_never_none():
    assert sample.draw(NAMES, 5000, seed=0).tolist() == list(range(1000))
    assert sample.draw(NAMES, 5000, seed=0, groups=GROUPS).tolist() == list(range(1000))
    assert (sample.share(0.001, 10), sample.share(0.25, 10), sample.share(1, 10)) == (1, 3, 10)
