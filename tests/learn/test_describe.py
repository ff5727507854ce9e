"""What `info` shows of cells and of a model, and what `check` calls a file."""

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
from learn.test_artifact import header

import scgx
from scgx.h5ad.frame import Frame, Nullable
from scgx.h5ad.writer import create
from scgx.learn import artifact
from scgx.learn.describe import Summary, summary_of, verdict_of


def model(path: Path, records: list[dict[str, object]]) -> Path:
    weights = artifact.pack_arrays({"w": np.arange(6.0)})
    summary = {"train_mean": np.ones(1, np.float32)}
    artifact.write(path, header(records=records), summary, {"w.safetensors": weights})
    return path


def row(summary: Summary, table: str, key: str) -> list[str] | None:
    rows = next(rows for title, _columns, rows in summary.tables if title == table)
    return next((found for found in rows if found[0] == key), None)


@pytest.mark.parametrize("records", [[], [{"loss": 2.0}, {"loss": 1.0}]])
def test_epochs_are_shown_where_there_were_any(tmp_path: Path, records: list) -> None:
    path = model(tmp_path / "m.scgx", records)
    expected = ["epochs", "2"] if records else None
    assert row(summary_of(path, "m"), "model", "epochs") == expected


def test_booleans_are_counted(tmp_path: Path) -> None:
    flags = np.arange(20) < 12
    unsure = Nullable(flags, np.arange(20) < 2)
    names = np.array([f"c{i}" for i in range(20)], dtype=object)
    with create(tmp_path / "a.h5ad") as out:
        out.frame("obs", Frame(names, {"kept": flags, "unsure": unsure}))
        out.frame("var", Frame(np.array(["g"], dtype=object), {}))
    found = summary_of(tmp_path / "a.h5ad", "a")
    assert row(found, "obs", "kept") == ["kept", "bool", "true 12, false 8"]
    assert row(found, "obs", "unsure") == ["unsure", "bool", "true 10, false 8, missing 2"]


def test_check_names_what_is_no_file_of_ours(tmp_path: Path) -> None:
    assert verdict_of(str(tmp_path)) == ("kind", "is a folder and no cells")
    state, words = verdict_of("/dev/null")
    assert state == "kind" and words.endswith("is empty")
    assert verdict_of(str(tmp_path / "none")) == ("missing", "no such file")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_model_is_truncated(tmp_path: Path, share: float) -> None:
    path = model(tmp_path / "m.scgx", [])
    assert verdict_of(str(path)).state == "whole"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert verdict_of(str(path)).state == "truncated"


def test_gzipped_cells_are_read_through(tmp_path: Path) -> None:
    with create(tmp_path / "a.h5ad") as out:
        for axis in ("obs", "var"):
            out.frame(axis, Frame(np.array(["a", "b"], dtype=object), {}))
    packed = tmp_path / "a.h5ad.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.h5ad").read_bytes()))
    assert verdict_of(str(packed)).state == "unsigned"
    packed.write_bytes(packed.read_bytes()[:-20])
    assert verdict_of(str(packed)).state == "truncated"
    packed.write_bytes(gzip.compress(b"text"))
    assert verdict_of(str(packed)).state == "kind"


ZARR = "anndata-v0.11.4.adata.zarr.zip"


def test_a_sound_zarr_store_in_a_zip_is_whole_and_named(real_data: Path) -> None:
    pytest.importorskip("zarr")
    state, words = verdict_of(str(real_data / "compat-h5ad" / ZARR))
    assert state == "whole" and words.startswith("a zarr store in a zip")


def test_a_zarr_store_that_nobody_can_read_is_no_cells_and_not_corrupt(real_data: Path) -> None:
    pytest.importorskip("zarr")
    state, words = verdict_of(str(real_data / "compat-h5ad" / "anndataR-example.zarr.zip"))
    assert state == "kind" and "anndata cannot read" in words


def test_no_changed_value_of_a_zarr_store_in_a_zip_is_whole(
    real_data: Path, tmp_path: Path
) -> None:
    source, path = real_data / "compat-h5ad" / ZARR, tmp_path / "bad.zarr.zip"
    with zipfile.ZipFile(source) as store:
        last = {info.filename: info for info in store.infolist()}  # attributes are written twice
    members = [info for info in last.values() if info.compress_size > 20]
    for info in members[:: max(1, len(members) // 5)]:
        data = bytearray(source.read_bytes())
        extra = int.from_bytes(data[info.header_offset + 28 : info.header_offset + 30], "little")
        start = info.header_offset + 30 + len(info.filename) + extra
        data[start + info.compress_size // 2] ^= 0x10
        path.write_bytes(data)
        assert verdict_of(str(path)).state == "corrupt", info.filename
    path.write_bytes(source.read_bytes()[:-100])
    assert verdict_of(str(path)).state == "truncated"


def test_a_classifier_shows_its_classes_and_its_calibration(tmp_path: Path) -> None:
    cells, made = tmp_path / "cells.h5ad", tmp_path / "types.scgx"
    scgx.fetch("demo", output=str(cells), modality="rna", cells=120, quiet=True)
    options = {"label": "cell_type", "min_cells_per_class": 2, "quiet": True}
    scgx.train("majority", str(cells), str(made), **options)
    summary = summary_of(made, "types.scgx")
    rows = dict(summary.tables[0][2])
    assert "classes of cell_type" in rows["to"] and "calibration error" in rows["calibration"]
    assert summary.facts["labels"]["column"] == "cell_type"


def test_a_model_of_responses_shows_its_perturbations_and_controls(tmp_path: Path) -> None:
    cells, made = tmp_path / "cells.h5ad", tmp_path / "m.scgx"
    scgx.simulate(str(cells), cells=300, genes=20, perturbations=4, doubles=1, quiet=True)
    scgx.train("no-change", str(cells), str(made), label="perturbation", quiet=True)
    summary = summary_of(made, "m.scgx")
    rows = dict(summary.tables[0][2])
    assert rows["perturbations"].startswith("5 of perturbation: SIM")
    assert "in 12 strata (cell_type, donor, batch)" in rows["controls"]
    assert summary.facts["response"]["column"] == "perturbation"
