"""The table of features of drawn pairs."""

from scgx.learn.artifact import Table
from scgx.learn.pair_generation import var_of_two


def test_features_of_both_modalities_follow_each_other_with_their_places():
    genes = Table("rna", "counts", ["A", "B"], gene_name=["a", "b"])
    peaks = Table(
        "atac", "binary", ["p"], chrom=["chr1"], start=[5], end=[9], strand=[None], tss=[-1]
    )
    found = var_of_two([genes, peaks])
    assert found.index.tolist() == ["A", "B", "p"]
    assert found.strings("feature_types").tolist() == ["Gene Expression"] * 2 + ["Peaks"]
    assert found.strings("chrom").tolist() == [None, None, "chr1"]
    assert found["start"].tolist() == [-1, -1, 5]
    assert found.strings("gene_name").tolist() == ["a", "b", "p"]


def test_a_name_that_both_modalities_have_says_which_it_is():
    genes = Table("rna", "counts", ["CD4", "B"])
    antibodies = Table("adt", "counts", ["CD4"])
    assert var_of_two([genes, antibodies]).index.tolist() == ["rna:CD4", "B", "adt:CD4"]
