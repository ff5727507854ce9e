"""Labels of screens: many layouts, one canonical form."""

import numpy as np
import pytest

from scgx.cells.perturbations import (
    Perturbation,
    familiarity,
    is_control,
    is_screen,
    parse,
    read_label,
    require_cells,
    screen_of,
)
from scgx.errors import DataError
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.reader import open_cells


def _obs(**columns: list[str | None]) -> Frame:
    n = len(next(iter(columns.values())))
    frame = Frame(np.array([f"c{i}" for i in range(n)], dtype=object))
    for name, values in columns.items():
        frame = frame.with_column(name, categorical(values))
    return frame


@pytest.mark.parametrize(
    "label",
    ["control", "ctrl", "ctrl+ctrl", "non-targeting", "NTC-12", "NegCtrl10_NegCtrl0", "NT", "DMSO",
     "safe-targeting-3", "no perturbations", "ProbeNTC", "Non-Targeting_2"],
)  # fmt: skip
def test_words_that_name_no_target_are_controls(label: str) -> None:
    assert is_control(label) or all(is_control(word) for word in label.split("_"))


@pytest.mark.parametrize("gene", ["WT1", "NT5E", "NTRK1", "CTLA4", "NONO", "SCRIB"])
def test_genes_whose_names_resemble_a_control_are_none(gene: str) -> None:
    assert not is_control(gene)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["A+B", "B+A", "A+ctrl", "ctrl+A", "ctrl"], ["A+B", "A+B", "A", "A", "control"]),
        (["A_B", "A", "B", "control", "A_B"], ["A+B", "A", "B", "control", "A+B"]),
        (["A", "B", "control", "HLA_X", "A"], ["A", "B", "control", "HLA_X", "A"]),
        (["KLF1_NegCtrl0__KLF1_NegCtrl0", "NegCtrl1_NegCtrl0", "A"], ["KLF1", "control", "A"]),
        (["B || A", "A", "non-targeting"], ["A+B", "A", "control"]),
    ],
)
def test_layouts_of_the_field_become_one(labels: list[str], expected: list[str]) -> None:
    screen = screen_of(_obs(perturbation=labels), genes={"KLF1"})
    assert [screen.labels[code] for code in screen.codes] == expected


def test_numbers_of_guides_are_taken_off_and_an_empty_cell_has_no_code() -> None:
    screen = screen_of(_obs(genetic_perturbation_id=["HLA-A-2", "HLA-A-1", "NTC-7", None]))
    assert screen.labels == ["control", "HLA-A"]
    assert screen.codes.tolist() == [1, 1, 0, -1]


def test_cellxgene_says_by_another_column_who_is_a_control() -> None:
    obs = _obs(
        genetic_perturbation_id=["AAVS1-1", "na", "KLF1-1 || NKX2-1-2", "KLF1-2", "NKX2-1-1"],
        genetic_perturbation_strategy=["control", "no perturbations", *["CRISPR interference"] * 3],
    )
    screen = screen_of(obs)
    assert [screen.labels[code] for code in screen.codes] == [
        "control", "control", "KLF1+NKX2-1", "KLF1", "NKX2-1",
    ]  # fmt: skip


def test_scperturb_says_how_many_targets_a_label_has() -> None:
    obs = _obs(perturbation=["CEBPA_KLF1", "HLA_X", "none-of-them", "control", "KLF1_CEBPA"])
    obs = obs.with_column("nperts", np.array([2, 1, 0, 0, 2]))
    screen = screen_of(obs)
    assert [screen.labels[code] for code in screen.codes] == [
        "CEBPA+KLF1", "HLA_X", "control", "control", "CEBPA+KLF1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "labels", "expected"),
    [
        ("guide_id", ["AAAS_-_53715438.23-P1P2", "AAAS_+_53715355.23-P1P2", "non-targeting_00012"],
         ["AAAS", "AAAS", "control"]),
        ("perturbation", ["SPI1_pDS255", "SPI1_pDS266", "62(mod)_pBA581"],
         ["SPI1", "SPI1", "control"]),
        ("guide_id", ["sgSTAT1-1", "sgSTAT1_2", "NKX2-1.g2", "NTC-1"],
         ["STAT1", "STAT1", "NKX2-1", "control"]),
        ("guide_id", ["NKX2-1", "STAT1", "KLF1", "NT"], ["NKX2-1", "STAT1", "KLF1", "control"]),
        ("perturbation", ["STAT1=-1", "A=-1+B", "STAT1", "control"],
         ["STAT1=-1", "A=-1+B", "STAT1", "control"]),
    ],
)  # fmt: skip
def test_guides_and_doses_are_told_from_targets(
    column: str, labels: list[str], expected: list[str]
) -> None:
    screen = screen_of(_obs(**{column: labels}))
    assert [screen.labels[code] for code in screen.codes] == expected


def test_one_cell_of_each_is_no_screen() -> None:
    lone = screen_of(_obs(perturbation=["A", "B", "C", "control"]))
    with pytest.raises(DataError, match="3 of 3 perturbations have one cell"):
        require_cells(lone)
    require_cells(screen_of(_obs(perturbation=["A", "A", "B", "B", "C", "control"])))


def test_a_control_of_another_name_is_named() -> None:
    obs = _obs(treatment=["drug", "buffer", "drug"])
    with pytest.raises(DataError, match="no cell of treatment is a control"):
        screen_of(obs, "treatment")
    assert screen_of(obs, "treatment", "buffer").control.tolist() == [False, True, False]
    with pytest.raises(DataError, match="did you mean 'buffer'"):
        screen_of(obs, "treatment", "bufer")


def test_a_table_without_perturbations_says_what_is_missing() -> None:
    with pytest.raises(DataError, match="no column of obs names perturbations"):
        screen_of(_obs(donor=["a", "b"]))
    assert not is_screen(_obs(condition=["ctrl", "ctrl"]), "condition")


def test_doses_are_read_and_written() -> None:
    assert parse("STAT1=-1 + A") == Perturbation(("A", "STAT1"), (1.0, -1.0))
    assert parse("STAT1=-1+A").label == "A+STAT1=-1"


@pytest.mark.parametrize("dose", [1e-5, 1e15, 123456.789, -2.5e-9])
def test_a_label_says_its_dose_so_that_it_is_read_again(dose: float) -> None:
    one = Perturbation(("A", "B"), (dose, 1.0))
    assert parse(one.label) == one
    screen = screen_of(_obs(perturbation=["control", one.label]))
    assert screen.conditions[1] == one and not screen.renamed


def test_two_doses_of_one_gene_are_refused() -> None:
    assert parse("A+A").label == "A"
    with pytest.raises(DataError, match="gives A two doses"):
        parse("A=1+A=-1")
    assert parse("ctrl").label == "control"
    for word in ("STAT1=much", "STAT1=nan", "STAT1="):
        with pytest.raises(DataError, match="no number"):
            parse(word)


def test_novelty_is_named_as_gears_names_it() -> None:
    assert familiarity(parse("A"), ["B"]) == "unseen_single"
    assert familiarity(parse("A+B"), ["B"]) == "combo_seen1"
    assert familiarity(parse("A+B"), ["A", "B"]) == "combo_seen2"


def test_real_screens_are_understood(real_data) -> None:  # type: ignore[no-untyped-def]
    with open_cells(real_data / "perturb-norman-mcfaline/devel.h5ad") as cells:
        screen = screen_of(cells.obs, genes=cells.var_names)
        assert (len(screen.conditions), int(screen.control.sum())) == (34, 400)
        assert "KLF1+MAP2K6" in screen.labels
    with open_cells(real_data / "perturb-cd4-flex-cellxgene/small_perturbations.h5ad") as cells:
        screen = screen_of(cells.obs, genes=cells.var_names)
        assert screen.column == "genetic_perturbation_id"
        assert "na" not in screen.labels  # its strategy is "no perturbations"
        assert int(screen.control.sum()) == 13
        with pytest.raises(DataError, match="479 of 483 perturbations have one cell"):
            require_cells(screen)
        assert "FBXO11+PLEK" in screen.labels
        assert screen.control.any()


@pytest.mark.parametrize("name", ["=SUM", "A=nan", "A=", "日本", "G 3", 'x"y', "-G7", "<b>", "1"])
def test_any_name_of_a_file_is_read_again_from_its_label(name: str) -> None:
    screen = screen_of(_obs(perturbation=["control", name, f"B=-1 + {name}"]))
    for one in screen.conditions:
        assert read_label(one.label) == one
