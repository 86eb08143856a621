"""Files that a bridge alone writes, replaced together: a crash at any moment leaves the old ones or the new ones.

Beside the files lies a folder of ours: the lock, the manifest of what is ours, the new files before they take their
places (`new/`), and those that they replaced until the new ones are proven (`good/`).

    stage      new/…, synced: nothing that anybody reads has changed
    swap       good/… keeps what is replaced, the manifest says what is about to change, then each file is renamed
    commit     the manifest says what is ours now; good/ is emptied
    roll_back  what good/ keeps takes its place again

A manifest that still names a change after a crash means that it was never proven: `open` rolls it back.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

from ..errors import FeaturewatchError, StoreFull, Unavailable
from ..stores.lock import DirectoryLock

__all__ = ["FileSet", "Step"]

Step: TypeAlias = Callable[[str], None]
"""Called by name before each step that changes the disk; for tests, which end the process there."""

_WRITERS: Final = 8
"""Files synced at once: a sync waits for the disk, which takes several in one go."""


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What is ours, and what is being changed.

    Attributes:
        files: digest by name.
        pending: digest by name of what is to be, None: to be removed; empty: nothing is under way.
        kept: those of `pending` that good/ has a copy of.
        notes: what the owner wants to know again.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    pending: Mapping[str, str | None] = field(default_factory=dict)
    kept: Sequence[str] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


class FileSet:
    """The files below `root` that the manifest names. Not for the event loop: each call touches the disk.

    Args:
        root: the folder; names of files are relative to it and may lead into one below.
        control: our own folder, on the same file system.
        what: the setting that names the files, for messages.
        ours: tells by its beginning whether a file that the manifest does not name was written by us all the same.
        mode: the permissions of new files; where the folder has the setgid bit, its group may read them too.
    """

    def __init__(
        self,
        root: Path,
        control: Path,
        *,
        what: str,
        ours: Callable[[bytes], bool],
        mode: int = 0o644,
        step: Step = lambda name: None,
    ) -> None:
        self.root = root
        self._control = control
        self._what = what
        self._ours = ours
        self._mode = mode
        self._step = step
        self._lock: DirectoryLock | None = None
        self._manifest = _Manifest()

    def open(self) -> Self:
        """Lock the files, and repair what a crash left.

        Raises:
            StoreLocked: another process has them. Unavailable: they cannot be written.
        """
        with self._telling("made"):
            self.root.mkdir(parents=True, exist_ok=True)
        self._lock = DirectoryLock.acquire(self._control, what=f"{self._what} {self.root}")
        try:
            self._manifest = self._read_manifest()
            if self._manifest.pending:
                self.roll_back()
            self._clean()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Let go of the files. Harmless when repeated."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def names(self) -> frozenset[str]:
        """The files that are ours."""
        return frozenset(self._manifest.files)

    @property
    def digests(self) -> Mapping[str, str]:
        """The SHA-256 of each file that is ours, as last committed."""
        return self._manifest.files

    @property
    def pending(self) -> Mapping[str, str | None]:
        """What was swapped in and is neither committed nor rolled back: digest by name, None where it was removed."""
        return self._manifest.pending

    @property
    def notes(self) -> Mapping[str, Any]:
        """What the last commit was given to remember."""
        return self._manifest.notes

    def read(self, name: str) -> bytes | None:
        """Return a file as it stands, None where there is none."""
        with self._telling("read"):
            try:
                return (self.root / name).read_bytes()
            except FileNotFoundError:
                return None

    def foreign(self, names: Iterable[str]) -> list[str]:
        """Name the files that are in the way: they exist, and were not written by us."""
        found = []
        for name in names:
            if name not in self._manifest.files and name not in self._manifest.pending:
                there = self.read(name)
                if there is not None and not self._ours(there):
                    found.append(name)
        return found

    def drifted(self) -> list[str]:
        """Name the files of ours that somebody else changed or removed."""
        return sorted(name for name, digest in self._manifest.files.items() if _digest(self.read(name)) != digest)

    def stage(self, files: Mapping[str, bytes]) -> Path:
        """Write new files aside, where nobody reads them, and return the folder that they are in.

        Raises:
            StoreFull: the disk is full. Unavailable: it cannot be written. Nothing has changed then.
        """
        self._step("stage")
        if self._manifest.pending:
            self.roll_back()
        new = self._control / "new"
        try:
            self._empty("new")
            for folder in {(new / name).parent for name in files} | {new}:
                folder.mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(_WRITERS) as writers:
                list(writers.map(lambda item: self._write(new / item[0], item[1]), files.items()))
            for folder in {(new / name).parent for name in files}:
                _sync(folder)
        except OSError as error:
            with suppress(OSError):
                self._empty("new")
            raise self._failed("written", error) from None
        return new

    def swap(self, files: Mapping[str, bytes], removed: Collection[str] = ()) -> None:
        """Let staged files take their places, and remove others; what was there is kept until `commit`.

        Raises:
            StoreFull, Unavailable: everything is as it was before.
        """
        changes: dict[str, str | None] = {name: _digest(content) for name, content in files.items()}
        changes |= {name: None for name in removed if name in self._manifest.files}
        try:
            self._step("keep")
            kept = self._keep(changes)
            self._step("announce")
            self._save(_Manifest(self._manifest.files, changes, kept, self._manifest.notes))
            for name, digest in changes.items():
                self._step(f"rename {name}")
                self._place(name, digest is not None)
            self._sync_folders(changes)
            self._step("swapped")
        except OSError as error:
            failure = self._failed("written", error)
            with suppress(FeaturewatchError):
                self.roll_back()
            raise failure from None

    def keep_aside(self, name: str, content: bytes) -> None:
        """Write a file that is nobody's concern but people's, such as what was there before ours."""
        with self._telling("written"):
            spare = self._control / "spare"
            spare.unlink(missing_ok=True)
            self._write(spare, content)
            os.replace(spare, self.root / name)
            _sync(self.root)

    def commit(self, notes: Mapping[str, Any] | None = None) -> None:
        """Take what was swapped in for good, and remember `notes` with it."""
        self._step("commit")
        now = self._manifest
        files = {name: digest for name, digest in {**now.files, **now.pending}.items() if digest is not None}
        after = _Manifest(files, notes=now.notes if notes is None else dict(notes))
        with self._telling("written"):
            self._save(after)
            self._step("committed")
            self._clean()

    def roll_back(self) -> None:
        """Put back what was there before the last `swap`. Harmless when repeated."""
        now = self._manifest
        self._step("roll back")
        with self._telling("written"):
            for name in now.pending:
                self._step(f"restore {name}")
                # A copy takes the place: should this be cut short, the next try finds everything still in good/.
                if name in now.kept:
                    spare = self._control / "spare"
                    spare.unlink(missing_ok=True)
                    _link(self._control / "good" / name, spare)
                    os.replace(spare, self.root / name)
                else:
                    (self.root / name).unlink(missing_ok=True)
            self._sync_folders(now.pending)
            self._save(_Manifest(now.files, notes=now.notes))
            self._step("rolled back")
            self._clean()

    def _keep(self, names: Iterable[str]) -> list[str]:
        """Keep what stands under these names in good/, and return those that stood."""
        self._empty("good")
        kept = []
        for name in names:
            copy = self._control / "good" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                _link(self.root / name, copy)
                kept.append(name)
        if kept:
            _sync(self._control / "good")
        return kept

    def _place(self, name: str, there: bool) -> None:
        target = self.root / name
        if there:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._control / "new" / name, target)
        else:
            target.unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(handle, view) :]
            os.fchmod(handle, self._mode | (0o040 if self._shared else 0))
            if self._shared:
                with suppress(OSError):
                    os.fchown(handle, -1, self.root.stat().st_gid)
            os.fsync(handle)
        finally:
            os.close(handle)

    @property
    def _shared(self) -> bool:
        """Whether the folder says by its setgid bit that its group shares what is in it."""
        return bool(self.root.stat().st_mode & 0o2000)

    def _clean(self) -> None:
        self._empty("new")
        self._empty("good")
        (self._control / "spare").unlink(missing_ok=True)

    def _empty(self, name: str) -> None:
        if (self._control / name).exists():
            shutil.rmtree(self._control / name)

    def _save(self, manifest: _Manifest) -> None:
        path = self._control / "manifest.json"
        beside = self._control / "manifest.json.new"
        beside.unlink(missing_ok=True)
        self._write(beside, json.dumps(asdict(manifest), indent=1).encode())
        os.replace(beside, path)
        _sync(self._control)
        self._manifest = manifest

    def _read_manifest(self) -> _Manifest:
        try:
            told = json.loads((self._control / "manifest.json").read_bytes())
            return _Manifest(
                dict(told["files"]), dict(told["pending"]), list(told["kept"]), dict(told.get("notes", {}))
            )
        except FileNotFoundError:
            return _Manifest()
        except OSError as error:
            raise self._failed("read", error) from None
        except (ValueError, KeyError, TypeError):
            # Whatever is ours is then known by how it begins.
            return _Manifest()

    def _sync_folders(self, names: Iterable[str]) -> None:
        for folder in {(self.root / name).parent for name in names}:
            if folder.exists():
                _sync(folder)

    def _failed(self, what: str, error: OSError) -> Unavailable:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StoreFull(f"{self._what} {self.root}: the disk is full; free some space, and it is tried again")
        if error.errno == errno.EBUSY:
            return Unavailable(
                f"{self._what} {self.root}: a file in it is a mount of its own, which cannot be replaced: mount "
                "the folder"
            )
        reason = error.strerror or type(error).__name__
        return Unavailable(
            f"{self._what} {self.root} cannot be {what} ({reason}): make it writable, and it is tried again"
        )

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        """Raise an OSError within as an error that names the folder and says what to do."""
        try:
            yield
        except OSError as error:
            raise self._failed(what, error) from None


def _digest(content: bytes | None) -> str | None:
    return None if content is None else sha256(content).hexdigest()


def _link(source: Path, target: Path) -> None:
    """Give a file another name; copy it where the file system has no such names."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV):
            raise
        shutil.copy2(source, target)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
