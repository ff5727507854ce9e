"""Settings: types, hints, and that nothing unknown is swallowed."""

import math
from dataclasses import dataclass, fields
from typing import Literal

import pytest

from scgx import registry
from scgx.errors import InputError, UsageError
from scgx.learn import config


@dataclass(frozen=True)
class Knobs:
    rank: int = 5  # of the matrix
    rate: float = 0.1
    fast: bool = False
    covariates: tuple[str, ...] = ()
    head: Literal["shared", "per-gene"] = "shared"
    limit: int | None = None
    epochs: int = 3
    share: float = config.knob(-1.0, least=-1, most=1)  # below 0 chooses


def test_words_become_values_of_the_field_type():
    words = ["rank=7", "rate=1e-3", "fast=yes", "covariates=sex,age", "head=per-gene", "limit=none"]
    made = config.build(Knobs, words, None, {})
    assert made == Knobs(7, 1e-3, True, ("sex", "age"), "per-gene", None)


def test_an_unknown_key_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'rank'"):
        config.build(Knobs, ["rnak=7"], None, {})


@pytest.mark.parametrize("word", ["rank=x", "fast=maybe", "head=other", "rank", "limit=1.5"])
def test_a_value_of_another_type_is_a_usage_error(word):
    with pytest.raises(UsageError):
        config.build(Knobs, [word], None, {})


@pytest.mark.parametrize("word", ["rank=-1", "rate=nan", "rate=inf", "rate=-0.5", "limit=-2"])
def test_a_number_that_no_knob_can_be_is_a_usage_error(word):
    with pytest.raises(UsageError, match="no number from 0"):
        config.build(Knobs, [word], None, {})


def test_a_knob_goes_to_its_bounds_and_no_further():
    assert config.build(Knobs, ["share=-1"], None, {}).share == -1
    assert config.build(Knobs, ["share=1"], None, {}).share == 1
    with pytest.raises(UsageError, match="share=1.5 is no number from -1 to 1"):
        config.build(Knobs, ["share=1.5"], None, {})


def _numeric_knobs():
    for name in registry.names("models"):
        kind = registry.load("models", name).Config
        for field in fields(kind):
            if isinstance(field.default, int | float) and not isinstance(field.default, bool):
                yield pytest.param(kind, field, id=f"{name}-{field.name}")


@pytest.mark.parametrize("kind, field", list(_numeric_knobs()))
def test_a_number_just_outside_the_bounds_of_a_knob_is_a_usage_error(kind, field):
    least, most = config.bounds(field)
    assert least <= field.default <= most
    if isinstance(field.default, int):
        outside = [least - 1] + ([most + 1] if math.isfinite(most) else [])
    else:
        outside = [math.nextafter(least, -math.inf), math.nextafter(most, math.inf), math.nan]
    for value in outside:
        with pytest.raises(UsageError, match="is no number from"):
            config.build(kind, [f"{field.name}={value!r}"], None, {})


@pytest.mark.parametrize(
    "model, word",
    [
        ("mlp", "members=0"),
        ("mlp", "dropout=2"),
        ("mlp", "hidden=0"),
        ("mlp", "lr=0"),
        ("cnn", "scales=0"),
        ("cnn", "channels=0"),
        ("cnn", "embedding=0"),
        ("cnn", "depth=60"),
        ("stacked", "network_share=5"),
        ("kernel-ridge", "power=nan"),
    ],
)
def test_knobs_that_no_model_can_be_built_with_are_usage_errors(model, word):
    with pytest.raises(UsageError, match=word):
        config.build(registry.load("models", model).Config, [word], None, {})


def test_toml_comes_before_set_and_both_are_checked(tmp_path):
    path = tmp_path / "knobs.toml"
    path.write_text('rank = 9\nrate = 0.5\ncovariates = ["a", "b"]\nfast = true\n')
    assert config.build(Knobs, ["rank=2"], path, {}) == Knobs(2, 0.5, True, ("a", "b"))
    path.write_text("rnak = 9\n")
    with pytest.raises(UsageError, match="rank"):
        config.build(Knobs, [], path, {})
    path.write_text("rank = = 9\n")
    with pytest.raises(InputError, match="TOML"):
        config.build(Knobs, [], path, {})


@pytest.mark.parametrize("line", ['rank = "x"', "rank = -1", "rnak = 9", "rank = [1, 2]"])
def test_a_mistake_in_toml_names_the_file(tmp_path, line):
    path = tmp_path / "knobs.toml"
    path.write_text(line + "\n")
    with pytest.raises(UsageError, match=r"knobs\.toml: ") as caught:
        config.build(Knobs, ["rank=2"], path, {})
    assert "--set" not in str(caught.value)


def test_a_run_option_that_the_model_lacks_is_refused():
    assert config.build(Knobs, [], None, {"epochs": 8}).epochs == 8
    assert config.build(Knobs, [], None, {"device": None}) == Knobs()
    with pytest.raises(UsageError, match="has no device"):
        config.build(Knobs, [], None, {"device": "cuda"})


def test_settings_survive_json():
    made = Knobs(covariates=("sex",), limit=4)
    assert config.from_json(Knobs, config.to_json(made)) == made
    with pytest.raises(InputError):
        config.from_json(Knobs, {"unheard": 1})


def test_the_comment_of_a_knob_is_its_documentation():
    rows = {name: rest for name, *rest in config.describe(Knobs)}
    assert rows["rank"] == ["int", "5", "of the matrix"]
    assert rows["head"][0] == "one of shared, per-gene"


def test_every_knob_of_every_model_says_what_it_does():
    for name in registry.names("models"):
        for knob, _type, _default, comment in config.describe(registry.load("models", name).Config):
            assert comment, f"{name} {knob}"
