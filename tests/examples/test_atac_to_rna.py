"""`examples/atac-to-rna.sh` runs whole: on the demo, and on stand-ins of zhu2023 over loopback."""

from pathlib import Path

import pytest
from support import zhu2023
from support.processes import Ended, shell
from support.web import serving

from scgx.h5ad.reader import open_cells

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "atac-to-rna.sh"


def run(dataset: str, out: Path, models: str, **env: str) -> Ended:
    settings = {"EPOCHS": "1", "MODELS": models, **env}
    return shell(f'export -f scgx; bash "$1" {dataset} "$2"', [EXAMPLE, out], env=settings)


def test_it_runs_on_the_demo(tmp_path):
    ended = run("demo", tmp_path, "group-mean ridge")
    assert ended.code == 0, ended.err
    assert "group-mean" in (tmp_path / "scores.tsv").read_text()
    assert b"ridge beats" in ended.out


@pytest.mark.torch
def test_it_runs_on_the_layout_of_zhu2023(tmp_path):
    with serving() as web:
        made = zhu2023.make(web, tmp_path, cells=900, genes=60)
        cache = str(tmp_path / "cache")
        ended = run("zhu2023", tmp_path / "out", "mean ridge cnn", **made.env, SCGX_CACHE=cache)
    assert ended.code == 0, ended.err
    assert b"ridge beats" in ended.out
    with open_cells(tmp_path / "out" / "split.h5ad") as cells:
        assert 200 < cells.n_obs < 400
        assert set(cells.obs.strings("author_cell_type")) == {"Oligodendrocytes"}
