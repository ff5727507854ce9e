"""Where a search looks: what ships is sound, what a user writes is refused where it is not."""

from pathlib import Path

import pytest

from scgx import registry
from scgx.errors import DataError, InputError, UsageError
from scgx.learn import tune_space
from scgx.learn.model import learns_labels, parts_for
from scgx.learn.tune_space import Choices, Range

SHIPPED = sorted(path.stem for path in tune_space.SHIPPED.glob("*.toml"))


def kinds(name: str) -> list[bool]:
    """For labels, or not: what this model can be searched for."""
    module = registry.load("models", name)
    told = learns_labels(module)
    return ([False] if module.TO or not told else []) + ([True] if told else [])


@pytest.mark.parametrize(("name", "labels"), [(n, k) for n in SHIPPED for k in kinds(n)])
def test_a_shipped_space_holds_the_defaults(name: str, labels: bool) -> None:
    space = tune_space.space_of(name, None, labels=labels)
    settings = parts_for(registry.load("models", name), labels=labels).config()
    assert tune_space.defaults_of(settings, space) is not None


def test_every_space_is_of_a_model() -> None:
    assert set(SHIPPED) <= set(registry.names("models"))


def test_every_model_with_several_numbers_to_choose_ships_a_space() -> None:
    """Embeddings have no objective, and generators without epochs no loss."""
    without = {"pca", "lsi", "copula", "nb", "resample", "group-mean"}
    for name in registry.names("models"):
        knobs = parts_for(registry.load("models", name), labels=False).config.__dataclass_fields__
        assert name in SHIPPED or name in without or not knobs, name


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("C = [", InputError, "is not TOML"),
        ("", InputError, "names no knob"),
        ("Cc = [1.0]", UsageError, "no setting 'Cc'"),
        ("C = [-1.0]", UsageError, "C=-1.0 is no number"),
        ("C = []", UsageError, "C is [values] or"),
        ("C = 3", UsageError, "C is [values] or"),
        ("C = { low = 1 }", UsageError, "C is [values] or"),
        ("C = { low = 1, high = 2, lag = true }", UsageError, "C is [values] or"),
        ("C = { low = 2, high = 1 }", UsageError, "is no range"),
        ("C = { low = 1, high = nan }", UsageError, "is no range"),
        ("C = { low = 'a', high = 'b' }", UsageError, "is no range"),
        ("l1 = { low = 0, high = 0.5, log = true }", UsageError, "has no logarithm"),
        ("l1 = { low = 0, high = 1.5 }", UsageError, "l1="),
        ("iterations = { low = 10.5, high = 20 }", UsageError, "takes whole numbers"),
        ("scale = ['nothing']", UsageError, "scale=nothing"),
    ],
)
def test_a_space_that_cannot_be_is_refused_with_the_name_of_its_file(
    tmp_path: Path, text: str, error: type[Exception], words: str
) -> None:
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(error) as refused:
        tune_space.space_of("logistic", path, labels=True)
    assert words in str(refused.value) and "space.toml" in str(refused.value)


def test_a_missing_space_and_a_model_without_one_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        tune_space.space_of("logistic", tmp_path / "none.toml", labels=True)
    with pytest.raises(DataError, match="no knob that is worth a search"):
        tune_space.space_of("mean", None, labels=False)


def test_what_is_searched_cannot_be_fixed() -> None:
    space = tune_space.space_of("logistic", None, labels=True)
    with pytest.raises(UsageError, match="C is searched"):
        tune_space.require_free(space, ["C=1"])
    tune_space.require_free(space, ["iterations=3"])


def test_points_of_a_grid_keep_both_ends_and_are_whole_where_the_knob_is() -> None:
    assert Range(1, 1000, log=True).points() == [1, 10, 100, 1000]
    assert Range(1, 3, whole=True).points() == [1, 2, 3]
    assert Range(0, 0.3).points() == [0, 0.1, 0.2, 0.3]
    assert Choices(("a", True, 3)).points() == ["a", True, 3]


def test_values_survive_the_command_line() -> None:
    values = {"C": 0.1 + 0.2, "iterations": 7, "scale": "none"}
    words = tune_space.words_of(values)
    kind = parts_for(registry.load("models", "logistic"), labels=True).config
    assert words == ["C=0.30000000000000004", "iterations=7", "scale=none"]
    from scgx.learn import config

    assert values["C"] == config.build(kind, words, None, {}).C  # type: ignore[attr-defined]
