"""Perturbations that are asked for: tables of many layouts, and controls with names of their own."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.screens import GENES, effects, screen
from support.tables import read

import scgx
from scgx.errors import DataError, UsageError
from scgx.h5ad.reader import open_cells
from scgx.learn.asked import read_wanted

SINGLES = effects(["A0", "A1", "A2", "A3"])
NAMED = "mystery"  # no word that says control


@pytest.mark.parametrize(
    "text",
    [
        "perturbation\nA\nB+C\n",
        "A\nB+C\n",
        "A\n\nB+C\nA\n",
        "cell\tcondition\tn\r\nc1\tA\t3\r\nc2\tctrl\t3\r\nc3\tB+C\t3\r\n",
        ",perturbation,n\nc1,A,3\nc2,control,1\nc3,B+C,2\n",
        '"cell","perturbation"\n"c1","A"\n"c,2","B+C"\n',
        "\ufeffperturbation\nA\nB+C\n",
    ],
)
def test_tables_name_perturbations_once_and_no_controls(text: str, tmp_path: Path) -> None:
    path = tmp_path / "like.tsv"
    path.write_text(text, encoding="utf-8")
    assert read_wanted(path) == ("A", "B+C")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no perturbation"),
        ("perturbation\n", "names no perturbation"),
        ("perturbation\ncontrol\n", "names no perturbation"),
        ("foo\tbar\nA\tB\n", "no column that names perturbations"),
        ("x\tperturbation\na\tA\nb\n", "line 3 has no perturbation"),
    ],
)
def test_tables_that_name_none_say_so(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "like.tsv"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_wanted(path)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A screen whose controls somebody had to name, and a model that was told."""
    folder = tmp_path_factory.mktemp("named")
    made = screen(SINGLES, ["A3"], control=NAMED)
    made.write(folder / "s.h5ad")
    options = {"label": "perturbation", "control": NAMED, "quiet": True}
    scgx.train("perturbed-mean", str(folder / "s.h5ad"), str(folder / "m.scgx"), **options)
    return folder


def test_a_model_remembers_who_its_controls_are(told: Path, tmp_path: Path) -> None:
    guess = tmp_path / "g.h5ad"
    scgx.predict(str(told / "m.scgx"), str(told / "s.h5ad"), str(guess), quiet=True)
    with open_cells(guess) as cells:
        assert set(cells.obs.strings("perturbation")) == {"A3"}
        assert json.loads(str(cells.scgx["model"]))["control"] == NAMED
    with pytest.raises(DataError, match="no cell of perturbation is a control") as caught:
        scgx.score(str(guess), [str(guess)], quiet=True)
    assert str(caught.value.fix).startswith("scgx split")
    table = tmp_path / "t.tsv"
    scgx.score(str(told / "s.h5ad"), [str(guess)], table=table, quiet=True)
    assert "pearson_delta" in table.read_text()


def test_a_file_of_controls_alone_is_one_whatever_they_are_called(
    told: Path, tmp_path: Path
) -> None:
    for words in ([NAMED], ["ctrl", "non-targeting"]):
        made = screen({}, [], control=NAMED)
        made.label[:] = np.resize(np.array(words, dtype=object), len(made.label))
        made.write(tmp_path / "c.h5ad")
        asked = {"perturb": ["A1"], "rows": "all", "quiet": True}
        scgx.predict(
            str(told / "m.scgx"), str(tmp_path / "c.h5ad"), str(tmp_path / "g.h5ad"), **asked
        )
        assert read(tmp_path / "g.h5ad").X.shape == (len(made.label), GENES)


def test_a_name_that_training_lacks_is_answered_with_the_nearest(
    told: Path, tmp_path: Path
) -> None:
    model, cells = tmp_path / "m.scgx", str(told / "s.h5ad")
    scgx.train("additive", cells, str(model), label="perturbation", control=NAMED, quiet=True)
    with pytest.raises(DataError) as caught:
        scgx.predict(str(model), cells, str(tmp_path / "g.h5ad"), perturb=["a1"], quiet=True)
    assert caught.value.fix == "did you mean 'A1'?"


def test_a_file_without_controls_says_what_the_model_takes_for_them(
    told: Path, tmp_path: Path
) -> None:
    made = screen(SINGLES, ["A3"], control="other")
    made.write(tmp_path / "s.h5ad")
    with pytest.raises(DataError, match="is a control") as caught:
        scgx.predict(str(told / "m.scgx"), str(tmp_path / "s.h5ad"), str(tmp_path / "g.h5ad"))
    assert caught.value.fix is not None and NAMED in caught.value.fix
    assert "--control" not in caught.value.fix


def test_cells_without_a_control_of_their_stratum_are_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = screen(SINGLES, ["A3"])
    lines = np.where(made.label == "A0", "two", "one").astype(object)
    made.more["line"] = lines
    cells, model = str(made.write(tmp_path / "s.h5ad")), str(tmp_path / "m.scgx")
    options = {"label": "perturbation", "quiet": True}
    scgx.train("perturbed-mean", cells, model, covariate=["line"], **options)
    assert "40 perturbed training cells have no control of their stratum" in capfd.readouterr().err
    with pytest.raises(UsageError, match="what was done"):
        scgx.train("perturbed-mean", cells, model, covariate=["perturbation"], **options)


def test_genes_that_the_controls_lack_are_left_out_and_not_made_up(
    told: Path, tmp_path: Path
) -> None:
    made = screen(SINGLES, ["A3"], control=NAMED)
    some = np.array([3, 1, 7, 30])
    few = replace(made, X=made.X[:, some], genes=tuple(f"g{i}" for i in some))
    few.write(tmp_path / "s.h5ad")
    asked = {"perturb": ["A1"], "quiet": True}
    for cells, name in ((told / "s.h5ad", "whole"), (tmp_path / "s.h5ad", "few")):
        scgx.predict(str(told / "m.scgx"), str(cells), str(tmp_path / f"{name}.h5ad"), **asked)
    whole, found = read(tmp_path / "whole.h5ad"), read(tmp_path / "few.h5ad")
    names = found.var.index.tolist()
    assert sorted(names) == ["g1", "g3", "g30", "g7"]
    places = [whole.var.index.tolist().index(name) for name in names]
    np.testing.assert_allclose(found.X, whole.X[:, places], atol=1e-6)
