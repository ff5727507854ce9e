"""What of a screen is held out, and that nothing of it leaks."""

import numpy as np
import pytest

from scgx.cells import unseen
from scgx.cells.assign import Request, assign
from scgx.cells.perturbations import screen_of
from scgx.cells.split import Fractions
from scgx.errors import DataError, UsageError
from scgx.h5ad.frame import Frame, categorical

SHARES = Fractions(0.6, 0.1, 0.3)


def _obs(seed: int = 0) -> Frame:
    genes = [f"G{i}" for i in range(12)]
    pairs = [f"G{i}+G{j}" for i, j in [(0, 1), (3, 2), (4, 5), (1, 7), (8, 9), (2, 11)]]
    labels = np.repeat([*genes, *pairs, "ctrl"], [10] * 18 + [40])
    np.random.default_rng(seed).shuffle(labels)
    frame = Frame(np.array([f"c{i}-{x}" for i, x in enumerate(labels)], dtype=object))
    return frame.with_column("condition", categorical(labels.tolist()))


@pytest.mark.parametrize("seed", range(5))
def test_a_held_out_target_occurs_in_no_training_condition(seed: int) -> None:
    screen = screen_of(_obs())
    parts = unseen.deal(screen, "targets", SHARES, seed=seed, fixed={})
    held = {t for one, p in zip(screen.conditions, parts) if p == 2 for t in one.targets}
    trained = {t for one, p in zip(screen.conditions, parts) if p == 0 for t in one.targets}
    alone = {
        one.targets[0]
        for one, p in zip(screen.conditions, parts)
        if p == 2 and len(one.targets) == 1
    }
    assert alone and not alone & trained
    assert held - alone <= trained | held
    assert set(parts.tolist()) == {0, 1, 2}


def test_combinations_are_held_out_and_all_singles_train() -> None:
    screen = screen_of(_obs())
    parts = unseen.deal(screen, "combinations", SHARES, seed=0, fixed={})
    sizes = np.array([len(one.targets) for one in screen.conditions])
    assert not parts[sizes < 2].any()
    assert (parts[sizes == 2] == 2).sum() >= 1
    assert unseen.table(screen, parts)[0][0] == "combo_seen2"


def test_half_of_the_controls_test_and_pairs_are_canonical() -> None:
    made = assign(_obs(), Request(by="perturbation", seed=1), "x")
    screen = screen_of(made.obs)
    parts = made.obs.strings("split")
    shares = [(parts[screen.control] == part).sum() for part in ("train", "val", "test")]
    assert shares == [16, 4, 20]
    for code in range(1, len(screen.conditions)):
        assert len(set(parts[screen.codes == code])) == 1
    assert any("unseen_single" in note for note in made.notes)


def test_pairs_are_named_for_a_part_in_either_order() -> None:
    made = assign(_obs(), Request(by="condition", test=["G2+G3"]), "x")
    parts = made.obs.strings("split")
    labels = made.obs.strings("condition")
    assert set(parts[labels == "G3+G2"]) == {"test"}
    assert set(parts[labels == "G0"]) == {"train"}


def test_rows_in_another_order_are_split_alike() -> None:
    obs = _obs()
    order = np.random.default_rng(1).permutation(len(obs))
    first = assign(obs, Request(by="condition", unseen="targets"), "x").obs.strings("split")
    second = assign(obs.take(order), Request(by="condition", unseen="targets"), "x")
    assert (first[order] == second.obs.strings("split")).all()


def test_what_cannot_be_held_out_is_said() -> None:
    screen = screen_of(_obs())
    with pytest.raises(UsageError, match="not known"):
        unseen.deal(screen, "genes", SHARES, seed=0, fixed={})
    lone = Frame(np.array(["a", "b", "c"], dtype=object))
    lone = lone.with_column("condition", categorical(["A", "B", "ctrl"]))
    with pytest.raises(DataError, match="no combinations"):
        unseen.deal(screen_of(lone), "combinations", SHARES, seed=0, fixed={})
    with pytest.raises(UsageError, match="--by perturbation"):
        assign(_obs(), Request(unseen="targets"), "x")


def test_controls_of_an_unusual_name_make_a_known_column_a_screen() -> None:
    obs = _obs()
    words = np.where(obs.strings("condition") == "ctrl", "mystery", obs.strings("condition"))
    made = assign(obs.with_column("condition", categorical(words.tolist())),
                  Request(by="condition", control="mystery"), "x")  # fmt: skip
    usual = assign(obs, Request(by="condition"), "x")
    assert made.obs.strings("split").tolist() == usual.obs.strings("split").tolist()


def test_few_perturbations_are_a_screen_where_one_is_named_for_the_test() -> None:
    words = ["ctrl"] * 20 + ["A"] * 10 + ["B"] * 10
    names = np.array([f"c{i}" for i in range(40)], dtype=object)
    obs = Frame(names).with_column("condition", categorical(words))
    made = assign(obs, Request(by="condition", test=["B"]), "x")
    parts = made.obs.strings("split")
    assert set(parts[30:]) == {"test"} and set(parts[20:30]) == {"train"}
    assert {"train", "test"} <= set(parts[:20])
    plain = assign(obs, Request(by="condition"), "x")
    assert len(set(plain.obs.strings("split")[:20])) == 1
    assert any("too few perturbations" in note for note in plain.notes)


def test_a_column_without_controls_is_said_to_be_no_screen() -> None:
    words = [f"G{i % 8}" for i in range(80)]
    names = np.array([f"c{i}" for i in range(80)], dtype=object)
    obs = Frame(names).with_column("perturbation", categorical(words))
    assert any("no screen" in note for note in assign(obs, Request(by="perturbation"), "x").notes)
    assert not any("no screen" in n for n in assign(obs, Request(by=None, seed=1), "x").notes)
