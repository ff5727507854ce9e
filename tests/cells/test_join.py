"""The pure core of `join`: names pair cells, columns merge, features stay unique."""

import numpy as np
import pytest

from scgx.cells import join
from scgx.errors import DataError
from scgx.h5ad.frame import Categorical, Frame, Nullable, categorical

BARCODES = ["AAACCTGAGAAACCAT", "AAACCTGAGAAACCGC", "AAACCTGAGAAACCTA", "CCACCTGAGAAACCTA"]


def names(pattern: str, barcodes: list[str] = BARCODES) -> np.ndarray:
    return np.array([pattern.format(barcode) for barcode in barcodes], dtype=object)


def test_exact_names_pair_in_the_order_of_the_first():
    first, second = names("{}-1"), names("{}-1", BARCODES[::-1])
    paired = join.pair(first, second)
    assert paired.rule == "by exact name"
    assert paired.first.tolist() == [0, 1, 2, 3]
    assert paired.second.tolist() == [3, 2, 1, 0]


def test_cells_that_one_file_lacks_are_left_out():
    paired = join.pair(names("{}-1"), names("{}-1", BARCODES[1:3]))
    assert paired.first.tolist() == [1, 2]
    assert paired.second.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("one", "other", "rule"),
    [
        ("{}-1", "{}", "trailing"),
        ("{}-1", "{}-2", "trailing"),
        ("s1_{}", "s1_{}-1", "trailing"),
        ("{}-1", "{}-1-s1d1", "barcode alone"),
        ("sample#{}-1", "{}-1", "barcode alone"),
        ("sample_{}", "other:{}-1", "barcode alone"),
    ],
)
def test_what_programs_add_to_a_barcode_is_understood(one, other, rule):
    paired = join.pair(names(one), names(other))
    assert rule in paired.rule
    assert paired.second.tolist() == [0, 1, 2, 3]


def test_a_few_chance_matches_do_not_hide_the_better_rule():
    first = names("{}-1")
    second = np.append(names("{}", BARCODES[1:]), BARCODES[0] + "-1")
    assert len(join.pair(first, second).first) == 4


def test_a_looser_rule_that_is_ambiguous_is_not_used():
    two_samples = np.append(names("{}-1"), names("{}-2"))
    with pytest.raises(DataError, match="no cell name is in both"):
        join.pair(two_samples, names("{}"))


def test_barcodes_of_different_samples_do_not_pair_by_chance():
    first = np.array([f"{'ab'[i % 2]}#{b}" for i, b in enumerate(BARCODES)], dtype=object)
    second = np.array([f"{'xxyy'[i]}#{b}" for i, b in enumerate(BARCODES)], dtype=object)
    with pytest.raises(DataError, match="no cell name is in both"):
        join.pair(first, second)


def test_rows_pair_by_position_only_when_asked_and_equal_in_number():
    first, second = np.array(["a", "b"], object), np.array(["x", "y"], object)
    with pytest.raises(DataError, match="no cell name is in both"):
        join.pair(first, second)
    assert "position" in join.pair(first, second, by_position=True).rule
    with pytest.raises(DataError, match="2 and 1 cells do not pair by position"):
        join.pair(first, second[:1], by_position=True)
    assert join.pair(first, first[::-1], by_position=True).second.tolist() == [1, 0]


def test_repeated_names_are_refused_with_the_names():
    with pytest.raises(DataError, match="2 cell names occur more than once: 'a', 'b'"):
        join.pair(np.array(["a", "b", "a", "b"], object), np.array(["a"], object))


def test_equal_columns_are_kept_once_and_differing_ones_prefixed():
    index = np.array(["a", "b"], object)
    rna = Frame(index, {"type": categorical(["T", "B"]), "n": np.array([1.0, np.nan])})
    atac = Frame(
        index,
        {
            "n": np.array([1.0, np.nan], np.float32),
            "type": np.array(["T", "B"], object),
            "frip": np.array([0.1, 0.2]),
        },
    )
    merged = join.merge_obs([rna, atac], ["GEX_", "ATAC_"])
    assert list(merged.frame.columns) == ["type", "n", "frip"]
    assert merged.conflicts == []
    other = atac.with_column("n", np.array([1.0, 3.0]))
    merged = join.merge_obs([rna, other], ["GEX_", "ATAC_"])
    assert list(merged.frame.columns) == ["type", "GEX_n", "ATAC_n", "frip"]
    assert merged.conflicts == ["n"]


def test_a_prefixed_name_never_hides_a_column():
    index = np.array(["a"], object)
    one = Frame(index, {"n": np.array([1]), "ATAC_n": np.array([5])})
    merged = join.merge_obs([one, Frame(index, {"n": np.array([2])})], ["GEX_", "ATAC_"])
    assert set(merged.frame.columns) == {"GEX_n", "ATAC_n_", "ATAC_n"}


def test_features_of_a_second_table_get_their_modality_when_names_clash():
    rna, peaks = np.array(["G1", "G2"], object), np.array(["chr1:1-2"], object)
    activity = np.array(["G2", "G3"], object)
    unique = join.unique_features([rna, peaks, activity], ["rna", "atac", "activity"])
    assert unique[0].tolist() == ["G1", "G2"]
    assert unique[1].tolist() == ["chr1:1-2"]
    assert unique[2].tolist() == ["G2:activity", "G3:activity"]


def test_shared_genes_ignore_versions_and_keep_the_order():
    rna = np.array(["ENSG01.2", "ENSG02", "ENSG03"], object)
    activity = np.array(["ENSG03.9", "ENSG01", "ENSG09"], object)
    assert [kept.tolist() for kept in join.shared_genes([rna, activity])] == [[0, 2], [0, 1]]
    with pytest.raises(DataError, match="no gene is in both"):
        join.shared_genes([rna, np.array(["TP53"], object)])


def test_cells_without_metadata_get_missing_values():
    table = Frame(
        np.array(["a", "b"], object),
        {"n": np.array([1, 2]), "type": categorical(["T", "B"]), "ok": np.array([True, False])},
    )
    aligned = join.align_rows(table, np.array([1, -1, 0]))
    assert np.array_equal(aligned.numbers("n"), [2, np.nan, 1], equal_nan=True)
    assert aligned.strings("type").tolist() == ["B", None, "T"]
    assert isinstance(aligned["type"], Categorical)
    assert isinstance(aligned["ok"], Nullable)
    whole = join.align_rows(table, np.array([1, 0]))
    assert whole["n"].dtype.kind == "i"
