"""Isotype controls: by their column of var, else by the names that kits give them."""

import numpy as np
import pytest

from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.isotypes import CONTROL, is_control, isotype_controls, marked

CONTROLS = [
    "IgG1", "IgG2a", "Mouse-IgG1", "Mouse-IgG2b", "Mouse_IgG2a", "mouse IgG1", "Rat-IgG2b", "RatIgG1",
    "Rat_IgG2c_control", "IgG1_control_TotalSeqB", "IgG2b_control_TotalSeqC", "isotype",
    "Isotype_MOPC.21", "isotype_Mouse_IgG1", "MouseIgG1kappaisotypeControl",
    "Mouse IgG2b, kappa isotype Ctrl",
    "Hamster-IgG", "Armenian_Hamster_IgG", "ADT_IgG1", "adt_rat-IgG2a-2", "IgG-control",
]  # fmt: skip
NONE = [
    "CD3", "IgD", "IgM", "IgE", "IgA", "IgG", "Ig-light-chain-kappa", "IgG-Fc", "CD16-FcgRIII",
    "HLA-DR",    "CD23_IgE-receptor", "CD79b-Igb", "TIGIT", "KLRG1", "LAG3", "anti-IgM",
]  # fmt: skip


@pytest.mark.parametrize("name", CONTROLS)
def test_names_of_controls_are_known(name):
    assert is_control(name)


@pytest.mark.parametrize("name", NONE)
def test_antibodies_that_bind_are_none(name):
    assert not is_control(name)


def table(**columns):
    kinds = categorical(["Gene Expression", *["Antibody Capture"] * 3])
    names = np.array(["IgG1", "CD3", "Rat-IgG2b", "A0090"], dtype=object)
    return Frame(names, {"feature_types": kinds, **columns})


def test_genes_are_never_controls_whatever_their_name():
    assert isotype_controls(table()).tolist() == [False, False, True, False]


def test_a_symbol_tells_where_the_index_is_an_id():
    symbols = categorical(["IgG1", "CD3", "Rat-IgG2b", "Mouse-IgG1"])
    assert isotype_controls(table(gene_name=symbols)).tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    "column",
    [
        np.array([True, True, False, True]),
        categorical(["True", "True", "False", "True"]),
        np.array([1, 1, 0, 1]),
        categorical(["yes", "yes", "no", "yes"]),
    ],
)
def test_the_column_decides_over_the_name(column):
    found = isotype_controls(table(**{CONTROL: column})).tolist()
    assert found == [False, True, False, True]


@pytest.mark.parametrize("word", [None, "perhaps"])
def test_what_the_column_does_not_say_is_left_to_the_name(word):
    found = isotype_controls(table(**{CONTROL: categorical(["no", word, word, word])}))
    assert found.tolist() == [False, False, True, False]


def test_a_table_is_marked_once_and_only_where_there_is_something_to_mark():
    once = marked(table())
    assert once is not None
    assert once[CONTROL].tolist() == [False, False, True, False]
    assert marked(once) is None
    assert marked(table().without([CONTROL]).take(np.array([0, 1]))) is None
