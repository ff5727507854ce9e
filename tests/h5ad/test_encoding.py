"""A table that is written is read again as it was, by us and by anndata."""

import tempfile
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scgx.errors import InputError
from scgx.h5ad.encoding import read_frame, read_value, write_frame, write_value
from scgx.h5ad.frame import Categorical, Column, Frame, Nullable, categorical

WORDS = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=6
)
NAMES = st.text(st.characters(categories=("Ll", "Nd")), min_size=1, max_size=6)


@st.composite
def columns(draw: st.DrawFn, n: int) -> Column:
    kind = draw(st.sampled_from(["str", "f8", "i8", "u1", "bool", "cat", "int?", "bool?"]))
    if kind == "str":
        return np.array(draw(st.lists(WORDS, min_size=n, max_size=n)), dtype=object)
    if kind == "cat":
        words = draw(st.lists(st.none() | WORDS, min_size=n, max_size=n))
        return categorical(words)._replace(ordered=draw(st.booleans()))
    flags = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool)
    if kind == "bool":
        return flags
    numbers = np.array(draw(st.lists(st.integers(0, 255), min_size=n, max_size=n)))
    if kind == "int?":
        return Nullable(numbers.astype("i8"), flags)
    if kind == "bool?":
        return Nullable(numbers > 100, flags)
    return numbers.astype(kind)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    index = draw(st.lists(WORDS, max_size=8, unique=True))
    names = draw(st.lists(NAMES, max_size=4, unique=True))
    made = {name: draw(columns(len(index))) for name in names}
    return Frame(np.array(index, dtype=object), made)


def same(one: Column, other: Column) -> bool:
    if isinstance(one, Categorical):
        assert isinstance(other, Categorical)
        return (
            np.array_equal(one.codes, other.codes)
            and one.categories.tolist() == other.categories.tolist()
            and one.ordered == other.ordered
        )
    if isinstance(one, Nullable):
        assert isinstance(other, Nullable)
        return np.array_equal(one.mask, other.mask) and np.array_equal(one.values, other.values)
    assert isinstance(other, np.ndarray)
    return one.dtype == other.dtype and one.tolist() == other.tolist()


@settings(max_examples=80, deadline=None)
@given(frames())
def test_a_frame_comes_back_as_it_was(frame: Frame) -> None:
    with tempfile.TemporaryDirectory() as folder, h5py.File(Path(folder, "f.h5"), "w") as file:
        write_frame(file, "obs", frame)
        back = read_frame(file["obs"])
        assert back.index.tolist() == frame.index.tolist()
        assert list(back.columns) == list(frame.columns)
        assert all(same(frame[name], back[name]) for name in frame.columns)


@settings(max_examples=15, deadline=None)
@given(frames())
def test_anndata_reads_our_frames(frame: Frame) -> None:
    anndata = pytest.importorskip("anndata")
    with tempfile.TemporaryDirectory() as folder, h5py.File(Path(folder, "f.h5"), "w") as file:
        write_frame(file, "obs", frame)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = anndata.io.read_elem(file["obs"])
        assert [str(name) for name in table.index] == frame.index.tolist()
        assert list(table.columns) == list(frame.columns)
        for name in frame.columns:
            words = [None if v is None else str(v) for v in frame.strings(name)]
            missing = table[name].isna()
            assert [None if m else str(v) for v, m in zip(table[name], missing)] == words


def test_missing_text_becomes_a_categorical(tmp_path: Path) -> None:
    """AnnData before 0.13 has no text with missing values; never a nullable string."""
    frame = Frame(np.array(["a", "b"], object), {"x": np.array(["w", None], object)})
    with h5py.File(tmp_path / "f.h5", "w") as file:
        write_frame(file, "obs", frame)
        assert file["obs/x"].attrs["encoding-type"] == "categorical"
        assert read_frame(file["obs"]).strings("x").tolist() == ["w", None]


def test_values_of_uns_come_back(tmp_path: Path) -> None:
    value = {
        "word": "ä",
        "number": 7,
        "share": 0.5,
        "inner": {"array": np.arange(5), "none": np.zeros(0)},
        "words": np.array(["a", "b"], object),
    }
    with h5py.File(tmp_path / "f.h5", "w") as file:
        write_value(file, "v", value)
        back = read_value(file["v"])
    assert isinstance(back, dict)
    assert back["word"] == "ä" and back["number"] == 7 and back["share"] == 0.5
    assert back["inner"]["array"].tolist() == [0, 1, 2, 3, 4]
    assert back["inner"]["none"].shape == (0,)
    assert back["words"].tolist() == ["a", "b"]


def test_arrays_carry_checksums(tmp_path: Path) -> None:
    frame = Frame(np.array(["a", "b"], object), {"x": np.arange(2)})
    with h5py.File(tmp_path / "f.h5", "w") as file:
        write_frame(file, "obs", frame)
        assert file["obs/x"].fletcher32


def test_a_missing_name_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        frame = Frame(np.array(["a", "b"], object))
        write_frame(file, "obs", frame)
        del file["obs/_index"]
        group = file["obs"].create_group("_index")
        group["codes"], group["categories"] = np.array([0, -1]), np.array([b"a"])
        with pytest.raises(InputError, match="missing"):
            read_frame(file["obs"])
