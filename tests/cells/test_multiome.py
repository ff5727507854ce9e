"""The drawn multiome: the same every time, laid out like a genome, with something to find."""

import numpy as np
import pytest
from scipy import sparse

from scgx.cells import multiome, multiome_h5ad
from scgx.errors import UsageError
from scgx.h5ad.reader import open_cells


@pytest.fixture(scope="module")
def world() -> multiome.World:
    return multiome.plan(1200, 300, 1500, 0)


@pytest.fixture(scope="module")
def drawn(world) -> list[multiome.Drawn]:
    return list(multiome.draw(world))


def together(drawn, name):
    return sparse.vstack([getattr(block, name) for block in drawn]).toarray()


def log1p_cp10k(counts):
    return np.log1p(1e4 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def per_gene_r(guess, truth):
    guess, truth = guess - guess.mean(axis=0), truth - truth.mean(axis=0)
    scale = np.sqrt((guess**2).sum(axis=0) * (truth**2).sum(axis=0))
    return np.where(scale > 0, (guess * truth).sum(axis=0) / np.maximum(scale, 1e-9), 0).mean()


def test_the_chromosomes_have_the_sizes_of_grch38(real_data):
    lines = (real_data / "genes-coordinates" / "GRCh38_EBV.chrom.sizes.tsv").read_text().split("\n")
    sizes = dict(line.split("\t") for line in lines if line)
    assert {name: int(sizes[name]) for name in multiome.HG38} == multiome.HG38


def test_features_lie_in_genome_order_on_their_chromosomes(world):
    rank = {name: i for i, name in enumerate(multiome.HG38)}
    for features in (world.genes, world.peaks):
        place = [(rank[c], s) for c, s in zip(features.chrom, features.start, strict=True)]
        assert place == sorted(place)
        assert (features.start >= 0).all()
        assert (features.end <= [multiome.HG38[c] for c in features.chrom]).all()
    assert len(set(world.peaks.ids)) == 1500
    assert (world.genes.chrom == "chrX").sum() == 24
    same = world.peaks.chrom[1:] == world.peaks.chrom[:-1]
    assert (world.peaks.end[:-1] <= world.peaks.start[1:])[same].all()


def test_links_are_near_and_fade_with_distance(world):
    links = world.links
    assert (world.genes.chrom[links.gene] == world.peaks.chrom[links.peak]).all()
    assert np.abs(links.distance).max() <= multiome.REACH
    weight, near = np.abs(links.weight), np.abs(links.distance) < 20_000
    assert weight[near].mean() > 3 * weight[np.abs(links.distance) > 60_000].mean()


def test_counts_are_whole_and_overdispersed(drawn):
    rna, atac = together(drawn, "rna"), together(drawn, "atac")
    assert (rna == np.rint(rna)).all()
    assert (atac >= 0).all()
    seen = rna[:, rna.mean(axis=0) > 1]
    assert (seen.var(axis=0) > 1.5 * seen.mean(axis=0)).mean() > 0.9


def test_an_honest_model_beats_the_mean_on_donors_it_has_not_seen(world, drawn):
    """Ridge on principal components; shuffled pairs give nothing; nobody passes the oracle."""
    truth = log1p_cp10k(together(drawn, "rna"))
    peaks = (together(drawn, "atac") > 0).astype(float)
    test = world.cells.donor >= 4
    peaks = peaks - peaks[~test].mean(axis=0)
    _, _, basis = np.linalg.svd(peaks[~test], full_matrices=False)
    parts = peaks @ basis[:30].T
    inner = parts[~test].T @ parts[~test] + 50 * np.eye(30)
    centred = truth[~test] - truth[~test].mean(axis=0)
    guess = parts[test] @ np.linalg.solve(inner, parts[~test].T @ centred)
    found, best = per_gene_r(guess, truth[test]), multiome.oracle_r(world, drawn)
    assert 0.2 < found < best < 0.8
    shuffled = guess[np.random.default_rng(0).permutation(len(guess))]
    assert abs(per_gene_r(shuffled, truth[test])) < 0.05


def test_chromatin_near_a_gene_tells_within_a_cell_type(world, drawn):
    truth, atac = log1p_cp10k(together(drawn, "rna")), together(drawn, "atac") > 0
    middle = (world.peaks.start + world.peaks.end) // 2
    near = np.zeros((1500, 300))
    for gene in range(300):
        away = np.abs(middle - world.genes.tss[gene]).astype(float)
        away[world.peaks.chrom != world.genes.chrom[gene]] = np.inf
        near[:, gene] = np.exp(-away / multiome.DECAY)
    of_type = world.cells.cell_type == 1
    assert per_gene_r(atac[of_type] @ near, truth[of_type]) > 0.15


@pytest.mark.parametrize("seed", [0, 7])
def test_same_seed_same_bytes_and_another_seed_another_world(tmp_path, seed):
    sizes = {"cells": 40, "genes": 20, "peaks": 60}
    for name, number in (("a", seed), ("b", seed), ("c", seed + 1)):
        multiome_h5ad.write(tmp_path / name, **sizes, seed=number)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_more_cells_take_no_more_memory_than_a_block(world):
    many = multiome.plan(2_000, 20, 60, 0)
    assert [block.rna.shape[0] for block in multiome.draw(many)] == [512, 512, 512, 464]


def test_donors_batches_and_types_are_there(tmp_path):
    multiome_h5ad.write(tmp_path / "a.h5ad", cells=300, genes=30, peaks=90, seed=1)
    with open_cells(tmp_path / "a.h5ad") as cells:
        obs = cells.obs
        levels = {name: len(obs[name].categories) for name in obs.columns}
        assert levels == {"donor": 6, "batch": 3, "sex": 2, "age_group": 4, "cell_type": 5}
        pairs = set(zip(obs.strings("donor"), obs.strings("batch"), strict=True))
        assert len(pairs) == 6
        assert cells.scgx["genome"] == "GRCh38"
        links = cells.h5["uns/truth/links"]
        assert len(links["gene"]) == len(links["peak"]) == len(links["weight"])


def test_a_world_too_small_to_hold_anything_is_refused(tmp_path):
    with pytest.raises(UsageError):
        multiome_h5ad.write(tmp_path / "a", cells=2, genes=30, peaks=90, seed=1)
