"""`scgx generate` with bad tables, bad files and depths beyond reason: one line, and no output."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.tables import Table, read, rewrite

import scgx
from scgx.errors import DataError, InputError, UsageError
from scgx.learn.draws import multinomial, negative_binomial


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Demo cells of twenty genes."""
    path = tmp_path_factory.mktemp("small") / "cells.h5ad"
    scgx.fetch("demo", output=str(path), cells=150, genes=20, peaks=20, quiet=True)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, small: Path) -> Path:
    """A generator of cell types of the small cells."""
    path = tmp_path_factory.mktemp("generate") / "nb.scgx"
    scgx.train("nb", str(small), str(path), label="cell_type", source="rna",
               min_cells_per_class=3, quiet=True)  # fmt: skip
    return path


HEAD = "cell_type\tn\n"


@pytest.mark.parametrize(
    ("table", "kind", "words"),
    [
        ("", InputError, "no table"),
        (HEAD, InputError, "no table"),
        (HEAD + "excitatory\t-3\n", InputError, "a weight is '-3'"),
        (HEAD + "excitatory\tnan\n", InputError, "a weight is 'nan'"),
        (HEAD + "excitatory\t1e30\n", InputError, "a weight is '1e30'"),
        (HEAD + "excitatory\t1e12\n", DataError, "do not fit in --memory"),
        (HEAD + "excitatory\t0\n", InputError, "all zero"),
        (HEAD + "excitatory\t2.5\n", UsageError, "no numbers of cells"),
        (HEAD + "nobody\t3\n", DataError, "knows no cell_type 'nobody'"),
        ("cell_type\tcell_type\tn\nexcitatory\tinhibitory\t3\n", InputError, "two columns"),
        ("cell_type,n\nexcitatory,3\n", InputError, "its last column"),
    ],
)
def test_a_table_of_weights_that_is_none_is_refused(
    table: str, kind: type[Exception], words: str, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "w.tsv").write_text(table)
    with pytest.raises(kind, match=words):
        scgx.generate(str(model), str(tmp_path / "o.h5ad"), weights=tmp_path / "w.tsv", quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["w.tsv"]


def test_a_table_of_weights_may_begin_with_a_mark_and_must_not_contradict(
    model: Path, tmp_path: Path
) -> None:
    table, out = tmp_path / "w.tsv", tmp_path / "o.h5ad"
    table.write_text(HEAD + "excitatory\t3\n", encoding="utf-8-sig")
    scgx.generate(str(model), str(out), weights=table, quiet=True)
    assert read(out).obs.strings("cell_type").tolist() == ["excitatory"] * 3
    with pytest.raises(UsageError, match="both say 'cell_type'"):
        scgx.generate(str(model), str(out), weights=table, condition=["cell_type=inhibitory"])
    with pytest.raises(InputError, match="is a folder"):
        scgx.generate(str(model), str(out), weights=tmp_path)


@pytest.mark.parametrize("many", [{"n": 10**12}, {"per_class": 10**10}])
def test_more_cells_than_names_fit_for_are_refused_at_once(
    many: dict[str, int], model: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="do not fit in --memory"):
        scgx.generate(str(model), str(tmp_path / "o.h5ad"), quiet=True, **many)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda x: x[:0], "no counts of the model's features"),
        (lambda x: x * 0, "no counts of the model's features"),
        (lambda x: np.where(x == x.max(), -1, x), "no whole numbers from 0"),
        (lambda x: x * 1e8, "more than 10,000,000 counts"),
    ],
)
def test_depths_are_those_of_cells(
    how: object, words: str, model: Path, small: Path, tmp_path: Path
) -> None:
    def change(table: Table) -> Table:
        X = how(table.X)  # type: ignore[operator]
        return Table(X, table.obs.take(np.arange(len(X))), table.var)

    other = rewrite(small, tmp_path / "other.h5ad", change)
    with pytest.raises(DataError, match=words):
        scgx.generate(str(model), str(tmp_path / "o.h5ad"), n=5, library_size=str(other))
    with pytest.raises(UsageError, match="no depth"):
        scgx.generate(str(model), str(tmp_path / "o.h5ad"), n=5, library_size="fixed:9e8")
    assert not (tmp_path / "o.h5ad").exists()


def test_deep_cells_are_dealt_in_little_memory_and_keep_their_shares() -> None:
    rng = np.random.default_rng(0)
    share = np.array([[0.5, 0.25, 0.25, 0.0]] * 3)
    made = multinomial(share, np.array([4, 10_000_000, 8]), rng).toarray()
    assert made.sum(axis=1).tolist() == [4, 10_000_000, 8]
    np.testing.assert_allclose(made[1] / 1e7, share[0], atol=1e-3)


def test_a_draw_beyond_int32_is_its_largest_number_and_not_below_zero() -> None:
    mean = np.full((50, 20), 1e9, np.float32)
    made = negative_binomial(mean, np.full(20, 50.0), np.random.default_rng(0))
    assert made.data.min() > 0 and made.data.max() == np.iinfo(np.int32).max


@pytest.mark.torch
def test_zero_inflated_counts_are_learned_and_made(small: Path, tmp_path: Path) -> None:
    """Genes that are empty without a reason come out so: more zeros than depth and mean say."""
    rng = np.random.default_rng(0)

    def thin(table: Table) -> Table:
        lost = rng.random(table.X.shape) < 0.5
        return Table(np.where(lost, 0, table.X * 4), table.obs, table.var)

    cells = rewrite(small, tmp_path / "thin.h5ad", thin)
    model, out = tmp_path / "zinb.scgx", tmp_path / "made.h5ad"
    scgx.train("cvae", str(cells), str(model), label="cell_type", source="rna", epochs=25,
               set_=["likelihood=zinb"], min_cells_per_class=3, quiet=True)  # fmt: skip
    scgx.generate(str(model), str(out), n=400, quiet=True)
    made, seen = read(out), read(cells)
    assert np.array_equal(made.X, np.round(made.X)) and made.X.min() >= 0
    genes = seen.var.strings("feature_types") == "Gene Expression"
    real, empty = (float((X == 0).mean()) for X in (seen.X[:, genes], made.X))
    assert abs(empty - real) < 0.1, (empty, real)


TINY = """
import os, resource, signal, sys
from pathlib import Path
import numpy as np
from scgx.errors import MachineError
from scgx.h5ad.writer import create

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

def write(path):
    with create(path) as out, out.matrix("X", 2000, np.float32) as append:
        append(np.ones((100, 2000), np.float32))

try:
    write(Path(sys.argv[1]))
except MachineError:
    said = "refused"
print(said, flush=True)
os._exit(0)
"""


def test_a_temporary_file_that_does_not_fit_ends_in_a_message_and_no_crash(tmp_path: Path) -> None:
    """What the caller still holds of a file that could not be written must not be freed."""
    words = [sys.executable, "-c", TINY, str(tmp_path / "x.h5ad")]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "refused\n"), ended
