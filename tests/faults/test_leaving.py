"""Where the output goes: readers that leave, full disks, links, folders, odd names (A7 to A16)."""

import hashlib
import os
import pty
import stat
import subprocess
import time
from pathlib import Path

import pytest
from support import files
from support.processes import Zygote, command, environment, fresh, leftovers, shell

BIG = (3000, 1500)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dense cells of 18 MB: more than any pipe holds."""
    path = tmp_path_factory.mktemp("big") / "big.h5ad"
    return files.cells(path, files.counts(1, BIG))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return files.cells(tmp_path / "small.h5ad")


def isolated(tmp_path: Path) -> dict[str, str]:
    """Spools in the folder of the test, so that what is forgotten is seen."""
    return {"TMPDIR": str(tmp_path)}


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_is_a_silent_141(unbuffered: str, big: Path, tmp_path: Path) -> None:
    env = isolated(tmp_path) | {"PYTHONUNBUFFERED": unbuffered}
    line = 'scgx filter-chrom ^Y "$1" -q | head -c1 >"$2"; exit ${PIPESTATUS[0]}'
    ended = shell(line, [big, tmp_path / "out"], env=env)
    words = [line for line in ended.err.splitlines() if "warning" not in line]
    assert (ended.code, words) == (141, [])
    assert leftovers(tmp_path) == []


def test_words_for_a_reader_that_leaves_are_a_silent_141(small: Path) -> None:
    ended = shell('scgx info "$1" | true; exit ${PIPESTATUS[0]}', [small])
    assert ended.code in (0, 141)
    assert ended.err == ""


def test_every_byte_arrives_or_the_code_is_not_0(big: Path, tmp_path: Path) -> None:
    """Unbuffered, through a pipe that is read slowly and through one that does not block."""
    out = tmp_path / "out.h5ad"
    assert fresh("filter-chrom", "^Y", big, "-o", out, "--no-history").code == 0
    right = hashlib.sha256(out.read_bytes()).hexdigest()
    for blocking in (True, False):
        reader, writer = os.pipe()
        os.set_blocking(writer, blocking)
        process = subprocess.Popen(
            command("filter-chrom", "^Y", big, "--no-history", "-q"),
            stdout=writer,
            env=environment(PYTHONUNBUFFERED="1"),
            stderr=subprocess.PIPE,
        )
        os.close(writer)
        digest = hashlib.sha256()
        with open(reader, "rb", buffering=0) as pipe:
            time.sleep(0.5)
            while data := pipe.read(1 << 18):
                digest.update(data)
        process.communicate()
        assert (process.returncode, digest.hexdigest() == right) == (0, True)


def test_stdout_closed_or_full_is_a_1_in_one_line(small: Path, tmp_path: Path) -> None:
    env = isolated(tmp_path)
    closed = fresh("filter-chrom", "X", small, "-q", env=env, preexec_fn=lambda: os.close(1))
    assert (closed.code, "stdout is closed" in closed.line()) == (1, True)
    for words in (["filter-chrom", "X", small, "-q"], ["info", small], ["info", small, "--json"]):
        with open("/dev/full", "wb") as device:
            full = fresh(*words, env=env, stdout=device)
        assert full.code == 1, words
        assert "no space left" in full.line()
    for name in ("/dev/full", "/dev/stdout"):
        with open("/dev/full", "wb") as device:
            full = fresh("filter-chrom", "X", small, "-q", "-o", name, env=env, stdout=device)
        assert (full.code, "no space left" in full.line()) == (1, True)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("way", ["path", "pipe", "spool"])
def test_a_limit_on_file_sizes_leaves_the_old_output(
    way: str, big: Path, forked: Zygote, tmp_path: Path
) -> None:
    out = tmp_path / "out.h5ad"
    out.write_bytes(b"old")
    argv = ["filter-chrom", "^Y", "-" if way == "spool" else big, "-q"]
    argv += [] if way == "pipe" else ["-o", out]
    feed = big.read_bytes() if way == "spool" else None
    ended = forked(*argv, feed=feed, fsize=1 << 20, env=isolated(tmp_path))
    assert ended.code == 1, ended
    assert "large" in ended.line() or "write" in ended.line()
    assert out.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_a_full_disk_leaves_the_old_output(big: Path, tmp_path: Path) -> None:
    """A file system of 2 MB, for the output beside its target and for the spool."""
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here; RLIMIT_FSIZE stands in")
    script = (
        'mount -t tmpfs -o size=2m tmpfs "$2" && cd "$2" && printf old >out.h5ad || exit 99\n'
        'scgx filter-chrom ^Y "$1" -q -o out.h5ad; echo $? >codes\n'
        'TMPDIR=. scgx filter-chrom ^Y "$1" -q >/dev/null; echo $? >>codes\n'
        'cat "$1" | TMPDIR=. scgx filter-chrom ^Y -q >/dev/null; echo $? >>codes\n'
        "cat codes out.h5ad; echo; ls -A"
    )
    text = f'unshare -rm bash -c \'{_FUNCTION}{script}\' bash "$1" "$2"'
    ended = shell(text, [big, tmp_path])
    assert ended.out.decode().split() == ["1", "1", "1", "old", "codes", "out.h5ad"], ended.err
    lines = [line for line in ended.err.splitlines() if "warning" not in line]
    assert len(lines) == 3 and all("no space left" in line.lower() for line in lines), ended.err


_FUNCTION = f'scgx() {{ "{command()[0]}" -m scgx "$@"; }}\n'


def test_a_terminal_never_gets_binary_data(small: Path) -> None:
    master, slave = pty.openpty()
    try:
        ended = fresh("filter-chrom", "X", small, stdout=slave)
    finally:
        os.close(master)
        os.close(slave)
    assert ended.code == 2
    assert "stdout is a terminal (redirect it" in ended.line()


def test_the_output_may_be_the_input(small: Path, forked: Zygote, tmp_path: Path) -> None:
    other = tmp_path / "other.h5ad"
    forked("filter-chrom", "X", small, "-o", other, "--no-history")
    assert forked("filter-chrom", "X", small, "-o", small, "--no-history").code == 0
    assert small.read_bytes() == other.read_bytes()
    forked("filter-chrom", "X", other, "-o", tmp_path / "again.h5ad", "--no-history")
    assert forked("filter-chrom", "X", "-", "-o", small, "--no-history", stdin=small).code == 0
    assert small.read_bytes() == (tmp_path / "again.h5ad").read_bytes()


def test_a_link_stays_and_what_it_names_is_replaced(
    small: Path, forked: Zygote, tmp_path: Path
) -> None:
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far" / "real.h5ad", tmp_path / "link.h5ad"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to(real)
    assert forked("filter-chrom", "X", small, "-o", link).code == 0
    assert link.is_symlink() and real.read_bytes().startswith(b"\x89HDF")
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    dangling = tmp_path / "dangling.h5ad"
    dangling.symlink_to(tmp_path / "far" / "new.h5ad")
    assert forked("filter-chrom", "X", small, "-o", dangling).code == 0
    assert (tmp_path / "far" / "new.h5ad").is_file()
    assert leftovers(tmp_path, tmp_path / "far") == []


def test_folders_and_missing_folders_are_named(small: Path, forked: Zygote, tmp_path: Path) -> None:
    folder = forked("filter-chrom", "X", small, "-o", tmp_path)
    assert (folder.code, "output is a folder" in folder.line()) == (2, True)
    lost = forked("filter-chrom", "X", small, "-o", tmp_path / "no" / "out.h5ad")
    assert (lost.code, "does not exist" in lost.line()) == (1, True)


def test_devices_and_named_pipes_are_streams(small: Path, forked: Zygote, tmp_path: Path) -> None:
    assert forked("filter-chrom", "X", small, "-o", "/dev/null").code == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    line = 'mkfifo "$2"; cat "$2" >"$3" & scgx filter-chrom X "$1" -o "$2" -q || exit; wait'
    out = tmp_path / "out.h5ad"
    ended = shell(line, [small, tmp_path / "fifo", out])
    assert (ended.code, ended.err) == (0, "")
    assert forked("check", out).out.split()[1] == b"whole"


def test_two_writers_of_one_output_never_mix(big: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5ad"
    wishes = ("chrX", "chr1") * 2
    running = [
        subprocess.Popen(command("filter-chrom", wish, big, "-q", "-o", out), env=environment())
        for wish in wishes
    ]
    assert [process.wait(60) for process in running] == [0] * len(wishes)
    assert fresh("check", out).code == 0
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("folder", ["missing", "a file", "/proc"])
def test_a_useless_tmpdir_is_named(
    folder: str, small: Path, forked: Zygote, tmp_path: Path
) -> None:
    place = {"missing": tmp_path / "no", "a file": small}.get(folder, Path(folder))
    for words in ([], ["--tmpdir", str(place)]):
        env = {"TMPDIR": str(tmp_path if words else place)}
        ended = forked("filter-chrom", "X", "-", *words, feed=small.read_bytes(), env=env)
        assert (ended.code, str(place) in ended.line()) == (1, True)


def test_a_read_only_folder_and_no_home_are_enough(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5ad"
    env: dict[str, str | None] = {"HOME": None, "XDG_CACHE_HOME": "/proc/none"}
    ended = fresh("filter-chrom", "X", small, "-o", out, "-q", cwd="/proc", env=env)
    assert (ended.code, ended.err) == (0, "")
    ended = fresh("filter-chrom", "X", small, "-o", "out.h5ad", "-q", cwd="/proc", env=env)
    assert (ended.code, "cannot write in" in ended.line()) == (1, True)


@pytest.mark.parametrize("locale", [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LC_ALL": "C.UTF-8"}])
def test_odd_names_are_bytes_and_messages_stay_one_line(
    locale: dict[str, str], small: Path, tmp_path: Path
) -> None:
    for name in (b"x\xff\xfe\n\xc3\xa4.h5ad", b"-q.h5ad"):
        path = os.path.join(os.fsencode(tmp_path), name)
        missing = fresh("filter-chrom", "X", os.fsdecode(path), env=locale)
        assert missing.code == 3
        assert "no such file" in missing.line()
        out = path + b".out"
        os.link(small, path)
        done = fresh(
            "filter-chrom", "X", "-q", "--", os.fsdecode(path), env=locale, stdout=subprocess.PIPE
        )
        assert (done.code, done.err) == (0, "")
        done = fresh(
            "filter-chrom", "X", "-q", "-o", os.fsdecode(out), "--", os.fsdecode(path), env=locale
        )
        assert (done.code, done.err) == (0, "")
        assert os.path.getsize(out) > 0


def test_a_name_of_255_bytes_is_written_and_a_longer_one_refused(
    small: Path, forked: Zygote, tmp_path: Path
) -> None:
    assert forked("filter-chrom", "X", small, "-o", tmp_path / ("n" * 255)).code == 0
    ended = forked("filter-chrom", "X", small, "-o", tmp_path / ("n" * 256), "-q")
    assert (ended.code, "too long" in ended.line()) == (2, True)
    ended = forked("filter-chrom", "X", tmp_path / ("n" * 256), "-q")
    assert (ended.code, "too long" in ended.line()) == (3, True)


def test_locale_time_zone_and_hash_seed_change_no_byte(small: Path, tmp_path: Path) -> None:
    made = []
    for env in (
        {"LC_ALL": "C", "PYTHONUTF8": "0", "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "1"},
        {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1", "TZ": "UTC", "PYTHONHASHSEED": "2"},
    ):
        ended = fresh("filter-chrom", "X", small, "-q", env=env)
        assert ended.code == 0
        made.append(ended.out)
    assert made[0] == made[1]


def test_files_of_the_dead_are_swept_and_those_of_the_living_are_not(
    small: Path, forked: Zygote, tmp_path: Path
) -> None:
    waiting = subprocess.Popen(
        command("filter-chrom", "X", "-", "-o", tmp_path / "out.h5ad"),
        stdin=subprocess.PIPE,
        env=environment(**isolated(tmp_path)),
        stderr=subprocess.DEVNULL,
    )
    while not leftovers(tmp_path):
        time.sleep(0.01)
    ended = forked("filter-chrom", "X", small, "-o", tmp_path / "b.h5ad", env=isolated(tmp_path))
    assert ended.code == 0
    assert leftovers(tmp_path) != []
    waiting.kill()
    waiting.communicate()
    forked("filter-chrom", "X", small, "-o", tmp_path / "b.h5ad", env=isolated(tmp_path))
    assert leftovers(tmp_path) == []
