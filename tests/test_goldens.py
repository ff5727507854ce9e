"""The formats that we promise, held down: what a file of cells and a model file look like inside.

A difference is a change of format: other programs read these files, so it belongs into the changelog.
`make goldens` writes what is compared with.
"""

import json
import os
import zipfile
from pathlib import Path

import h5py
import pytest

import scgx

GOLDENS = Path(__file__).parent / "goldens"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    cells, parted, model, guess = (
        str(folder / name) for name in ("demo.h5ad", "split.h5ad", "mean.scgx", "guess.h5ad")
    )
    scgx.fetch("demo", output=cells, cells=60, genes=5, peaks=8, quiet=True)
    scgx.split(cells, parted, by="donor", quiet=True)
    scgx.train("mean", parted, model, source="atac", target="rna", quiet=True)
    scgx.predict(model, parted, guess, quiet=True)
    return folder


def layout(path: Path) -> str:
    """Every object of a file: path, encoding, type and shape."""
    lines = []

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        encoding = item.attrs.get("encoding-type", "")
        if isinstance(item, h5py.Dataset):
            kind = "string" if h5py.check_string_dtype(item.dtype) else str(item.dtype)
            lines.append(f"{name}\t{encoding}\t{kind}\t{'x'.join(map(str, item.shape))}")
        else:
            lines.append(f"{name}/\t{encoding}")

    with h5py.File(path) as file:
        file.visititems(visit)
    return "\n".join(sorted(lines)) + "\n"


def shape_of(value: object) -> object:
    """JSON with its values replaced by their types; keys of what users name are kept."""
    if isinstance(value, dict):
        return {key: shape_of(entry) for key, entry in sorted(value.items())}
    if isinstance(value, list):
        return [shape_of(value[0]), f"x {len(value)}"] if value else []
    return type(value).__name__


def header(path: Path) -> str:
    """The names of the members in their order, and the shape of the header."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        fields = json.loads(archive.read("scgx.json"))
    return json.dumps({"members": names, "scgx.json": shape_of(fields)}, indent=1) + "\n"


@pytest.mark.parametrize("name", ["demo.h5ad", "split.h5ad", "guess.h5ad", "mean.scgx"])
def test_the_format_is_the_one_that_was_promised(name: str, made: Path) -> None:
    path = made / name
    found = header(path) if path.suffix == ".scgx" else layout(path)
    golden = GOLDENS / f"{name}.txt"
    if os.environ.get("SCGX_GOLDENS") == "write":
        golden.write_text(found, encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == found, "a change of format? (make goldens)"
