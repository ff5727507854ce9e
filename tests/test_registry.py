"""What is suggested in place of a name that is none."""

from scgx.registry import ROOM, suggest


def test_a_near_name_is_meant_and_else_all_are_shown() -> None:
    assert suggest("cnm", ["cnn", "knn", "mean"]) == "did you mean 'cnn'?"
    assert suggest("zzz", ["cnn", "knn"]) == "there is cnn, knn"
    assert suggest("zzz", []) == "there is none"


def test_a_long_list_ends_in_a_number_so_that_what_is_wrong_is_not_cut_off() -> None:
    said = suggest("zzz", [f"perturbation{i}" for i in range(1_000)])
    shown = said.removeprefix("there is ").split(", ")
    assert len(said) < ROOM + 30
    assert shown[:2] == ["perturbation0", "perturbation1"]
    assert len(shown) - 1 + int(shown[-1].split()[0]) == 1_000
