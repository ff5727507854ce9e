"""A word names a cluster, a profile holds what its launcher takes, and nonsense is told apart."""

from pathlib import Path

import pytest

from scgx.cluster.place import Place, parse
from scgx.errors import DataError, InputError, UsageError


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("local", Place("local")),
        ("local:4", Place("local", 4)),
        ("slurm", Place("slurm")),
        ("kubernetes", Place("kubernetes")),
        ("tcp://10.0.0.1:8786", Place("address", address="tcp://10.0.0.1:8786")),
        ("node-7.cluster:8786", Place("address", address="node-7.cluster:8786")),
    ],
)
def test_a_word_names_a_place(word: str, place: Place) -> None:
    assert parse(word) == place


@pytest.mark.parametrize("word", ["", "local:0", "local:x", "slurmy", "tcp://", "here", "local:"])
def test_another_word_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="is no cluster"):
        parse(word)


def test_a_profile_holds_the_options_of_a_launcher(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(
        "[slurm]\nqueue = 'long'\ncores = 8\nmemory = '32GB'\nworkers = 16\n"
        "directives = ['--qos=low']\n[kubernetes]\nimage = 'scgx'\nworkers = 3\n"
    )
    place = parse(f"slurm:{path}")
    assert place.workers == 16
    assert place.as_dask() == {
        "queue": "long", "cores": 8, "memory": "32GB", "job_extra_directives": ["--qos=low"],
    }  # fmt: skip
    assert parse(f"kubernetes:{path}").as_dask() == {"image": "scgx", "n_workers": 3}


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("[slurm]\nqeue = 'a'\n", DataError, r"knows no 'qeue' \(it knows queue"),
        ("[slurm]\ncores = 'a'\n", DataError, "cores is no whole number"),
        ("[slurm]\ncores = true\n", DataError, "cores is no whole number"),
        ("[slurm]\ncores = 0\n", DataError, "cores is less than 1"),
        ("[kubernetes]\nimage = 'a'\n", DataError, r"has no table \[slurm\]"),
        ("[pbs]\n", DataError, r"has a table \[pbs\]"),
        ("slurm\n", InputError, "is no TOML"),
    ],
)
def test_a_profile_that_says_nonsense_is_refused(
    tmp_path: Path, text: str, kind: type[Exception], words: str
) -> None:
    path = tmp_path / "site.toml"
    path.write_text(text)
    with pytest.raises(kind, match=words):
        parse(f"slurm:{path}")


def test_a_profile_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.toml: no such file"):
        parse(f"slurm:{tmp_path}/none.toml")


def test_a_claim_needs_a_mount(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text("[kubernetes]\nclaim = 'data'\n")
    with pytest.raises(DataError, match="go together"):
        parse(f"kubernetes:{path}")
