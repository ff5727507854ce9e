"""Where downloads are kept: by content, private, whole.

    sha256/ab/abcd...        the bytes; two names for the same bytes share one entry
    sha256/ab/abcd....json   size, time stamp, md5, where and when they came from
    urls/KEY.json            which content an address had
    partial/KEY.part .json   what has arrived of a download, and of what; .bad: refused bytes
    partial/KEY.lock         held (flock) while somebody downloads
    genes/KEY.npz            what was read out of a large annotation (`cells/gene_tables`)

An entry is used when its size and time stamp are those that were noted; otherwise, and under
`--verify`, its hash is computed again, and bytes that have changed are put aside. The folder is the
platform's cache folder or `SCGX_CACHE`; one that somebody else could write into is refused.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from scgx import progress
from scgx.datasets import _address
from scgx.errors import MachineError, UnsafeError

CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A whole, verified file in the cache, and where it came from (addresses without secrets)."""

    path: Path
    sha256: str
    md5: str
    bytes: int
    url: str
    retrieved: str  # day, ISO 8601


@dataclass(frozen=True)
class Cache:
    """The folder. Make it with `open_cache`."""

    root: Path

    def find(
        self, *, sha256: str | None, urls: tuple[str, ...], verify: bool = False
    ) -> Entry | None:
        """An entry by its content, else by an address it once came from; None where neither is."""
        entries = (self._entry(digest, verify=verify) for digest in self._digests(sha256, urls))
        return next((entry for entry in entries if entry is not None), None)

    def holds(self, sha256: str | None, urls: tuple[str, ...]) -> bool:
        """Whether there is such an entry, unchecked; for lists."""
        return any(self._place(digest).exists() for digest in self._digests(sha256, urls))

    def _digests(self, sha256: str | None, urls: tuple[str, ...]) -> list[str]:
        if sha256 and len(sha256) == 64:
            return [sha256]
        notes = (_read_json(self.root / "urls" / f"{_address.key(url)}.json") for url in urls)
        return [str(n["sha256"]) for n in notes if _is_digest(str(n.get("sha256", "")))]

    def _entry(self, digest: str, *, verify: bool) -> Entry | None:
        path = self._place(digest)
        try:
            seen = path.lstat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(seen.st_mode) or seen.st_uid != os.geteuid():
            raise UnsafeError("cache entry is a link, or somebody else's", file=str(path))
        note = _read_json(path.with_name(path.name + ".json"))
        known = (note.get("bytes"), note.get("mtime_ns")) == (seen.st_size, seen.st_mtime_ns)
        if verify or not known:
            md5, sha256 = hashes(path)
            if sha256 != digest:
                progress.warn(
                    f"a cached file has changed on disk and is put aside: {path.name[:16]}"
                )
                os.replace(path, self.root / "partial" / f"{digest[:32]}.bad")
                return None
            note = {**note, "md5": md5}
            _note(path, note, seen)
        return Entry(
            path=path,
            sha256=digest,
            md5=str(note.get("md5", "")),
            bytes=seen.st_size,
            url=str(note.get("url", "")),
            retrieved=str(note.get("retrieved", "")),
        )

    def store(self, part: Path, *, md5: str, sha256: str, urls: tuple[str, ...], url: str) -> Entry:
        """Move a verified file into its place. Its bytes are on disk before its name is."""
        place = self._place(sha256)
        _make(place.parent)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(part, 0o600)
        shown = _address.public(url) if url else ""
        note = {"md5": md5, "url": shown, "retrieved": time.strftime("%Y-%m-%d", time.gmtime())}
        _note(place, note, part.stat())
        os.replace(part, place)
        for address in urls:
            text = json.dumps({"url": _address.public(address), "sha256": sha256})
            write_whole(self.root / "urls" / f"{_address.key(address)}.json", text)
        entry = self._entry(sha256, verify=False)
        assert entry is not None
        return entry

    def _place(self, digest: str) -> Path:
        return self.root / "sha256" / digest[:2] / digest

    def folder(self, name: str) -> Path:
        """A folder of its own for something else that is kept; as private as the others."""
        path = self.root / name
        _make(path)
        return path

    def partial(self, key: str) -> Path:
        """Where a download in progress lies; `key` is ours (a hash), never a server's name."""
        assert key.isalnum()
        return self.root / "partial" / f"{key}.part"

    def remember(self, name: str, value: object) -> None:
        """Keep a small JSON value under a name of ours (what an API last answered)."""
        write_whole(self.root / "urls" / f"{name}.json", json.dumps(value, sort_keys=True))

    def recall(self, name: str) -> dict[str, object]:
        """What `remember` kept; empty when there is nothing."""
        return _read_json(self.root / "urls" / f"{name}.json")

    def need(self, size: int) -> None:
        """Refuse a download of that many bytes when the disk cannot hold it (and a tenth more)."""
        free = shutil.disk_usage(self.root).free
        if size * 1.1 > free:
            raise MachineError(
                f"needs {size * 1.1 / 1e9:.2f} GB, {free / 1e9:.2f} GB are free",
                fix="make room, or set SCGX_CACHE to another disk",
                file=str(self.root),
            )

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold one download. Who comes second waits; a lock whose holder died is free."""
        path = self.root / "partial" / f"{key}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress.say("waiting: another scgx is fetching the same file")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                    raise
                with _lock_by_name(path.with_suffix(".pid")):
                    yield
                return
            yield
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _lock_by_name(path: Path) -> Iterator[None]:
    """For file systems without locks: a file that only one can make, with its maker's pid."""
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            break
        except FileExistsError:
            with contextlib.suppress(OSError, ValueError):
                pid = int(path.read_text() or "0")
                if pid and not _alive(pid):
                    path.unlink()
                    continue
            time.sleep(0.2)
    os.write(descriptor, str(os.getpid()).encode())
    os.close(descriptor)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def open_cache() -> Cache:
    """The cache folder, made when absent (0700).

    `UnsafeError` when it is a link, somebody else's, or writable by all; `MachineError` when it
    cannot be made or written.
    """
    root = _root()
    for folder in (root, root / "sha256", root / "urls", root / "partial"):
        _make(folder)
    return Cache(root)


def existing_cache() -> Cache | None:
    """The cache where there is one; who only looks something up needs no writable folder."""
    root = _root()
    return open_cache() if os.path.lexists(root) and os.access(root, os.W_OK) else None


def _root() -> Path:
    named = os.environ.get("SCGX_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("scgx", appauthor=False))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        seen = folder.lstat()
    except (OSError, RuntimeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise MachineError(
            f"the cache cannot be made: {reason}", fix="set SCGX_CACHE", file=str(folder)
        ) from None
    if stat.S_ISLNK(seen.st_mode):
        raise UnsafeError("the cache folder is a link", fix="set SCGX_CACHE", file=str(folder))
    if seen.st_uid != os.geteuid():
        raise UnsafeError(
            "the cache folder is somebody else's", fix="set SCGX_CACHE", file=str(folder)
        )
    if seen.st_mode & stat.S_IWOTH:
        raise UnsafeError(
            "everybody may write into the cache folder", fix="chmod o-w it", file=str(folder)
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise MachineError("the cache is not writable", fix="set SCGX_CACHE", file=str(folder))


def _note(path: Path, note: Mapping[str, object], seen: os.stat_result) -> None:
    """Note what an entry looks like now; written before the entry has its name."""
    whole = {**note, "bytes": seen.st_size, "mtime_ns": seen.st_mtime_ns}
    write_whole(path.with_name(path.name + ".json"), json.dumps(whole, sort_keys=True))


def hashes(path: Path, advance: Callable[[int], None] | None = None) -> tuple[str, str]:
    """md5 and sha256 of a file, in one pass."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(CHUNK):
            md5.update(data)
            sha256.update(data)
            if advance:
                advance(len(data))
    return md5.hexdigest(), sha256.hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old or the new one."""
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _read_json(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_digest(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)


def provenance(entry: Entry) -> dict[str, str]:
    """What an output says about where its bytes came from."""
    kept = asdict(entry)
    return {name: str(kept[name]) for name in ("url", "sha256", "bytes", "retrieved") if kept[name]}
