"""A folder in which the workers of a prefork server keep their totals, so that any of them can answer for all.

Each process has a ledger of its own there. What processes that have ended counted is added up in one file, `retired`:
it also names the ledgers it contains, so that one which is still there, because the process that added it was killed
before it could delete it, is not counted twice. It is written aside, synced and renamed into place, under a lock.

Readers take no lock: they read `retired`, then the ledgers it does not name, and begin again if `retired` was replaced
meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from typing import IO, Final, NamedTuple

from ..model import FeatureKey
from .drops import Drops
from .ledger import Ledger, Slot, is_ledger, rows
from .records import LABEL_LIMIT, DropLayout, Layout, Record, bounded, decode, encode, merge, noted

NAME: Final = re.compile(r"worker-[0-9a-f]{32}\.1")
RETIRED: Final = "retired.1"
LOCK: Final = "lock"

RETIRE_AT: Final = 16
"""Ledgers of ended processes that a process may find when it makes its own; it adds them up where there are more."""

STALE_AFTER: Final = 60.0
"""Seconds after which a file that never became a ledger is deleted: its maker was killed."""

_ATTEMPTS: Final = 50

Dropped = dict[tuple[str, str, FeatureKey], int]


class Totals(NamedTuple):
    """What processes counted: one record for each feature, and what was dropped."""

    records: list[Record]
    dropped: Dropped


class _Retired(NamedTuple):
    merged: frozenset[str]
    totals: Totals


class _File(NamedTuple):
    name: str
    alive: bool
    totals: Totals


_NOTHING: Final = _Retired(frozenset(), Totals([], {}))


class SharedFolder:
    """The folder, and this process's ledger in it once `open` was called."""

    def __init__(self, path: str, drops: Drops) -> None:
        self.path = path
        self._drops = drops
        self._ledger: Ledger | None = None
        self._cached: tuple[tuple[int, ...] | None, _Retired] = (None, _NOTHING)

    @property
    def opened(self) -> bool:
        """Whether this process has a ledger, and nobody deleted it."""
        return self._ledger is not None and self._ledger.there

    def open(self) -> bool:
        """Make this process's ledger; where that fails it is told once, and the process counts for itself alone."""
        try:
            os.makedirs(self.path, exist_ok=True)
            self._ledger = Ledger(os.path.join(self.path, f"worker-{os.urandom(16).hex()}.1"))
            if len(self._names()) > RETIRE_AT:
                self.retire()
        except (OSError, ImportError) as error:
            self._drops.tell(
                f"multiprocess_dir {self.path}",
                "multiprocess_dir %s cannot be used (%s): each process shows its own figures alone; let it be a local "
                "folder that all workers may write to, with space left",
                self.path, error,
            )  # fmt: skip
            self.close()
            return False
        self._drops.recovered(f"multiprocess_dir {self.path}", "multiprocess_dir %s is used again", self.path)
        return True

    def slot(self) -> Slot:
        """Return room for one row of this process; only after `open`."""
        assert self._ledger is not None
        return Slot(self._ledger)

    def close(self) -> None:
        """Let go of the ledger: it counts as an ended process's, unless this is a forked child of its maker."""
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            ledger.close()

    def tell_problem(self) -> None:
        """Tell once what kept a row from being written."""
        ledger = self._ledger
        if ledger is not None and ledger.problem is not None:
            self._drops.tell(
                "ledger", "what this process counts does not reach the others through %s (%s); it is tried again",
                self.path, ledger.problem,
            )  # fmt: skip

    def others(self) -> list[Totals]:
        """Read what other processes counted, each and those that were added up; then add up the ended ones' files."""
        try:
            retired, files = self._read()
        except OSError as error:
            self._drops.tell(
                "shared", "%s cannot be read (%s): this process shows its own figures alone", self.path, error
            )
            return []
        self._drops.recovered("shared", "%s can be read again", self.path)
        if not all(file.alive for file in files):
            self.retire()
        return [retired.totals, *(file.totals for file in files)]

    def retire(self) -> None:
        """Add the ledgers of ended processes to `retired` and delete them, unless another process does it just now."""
        try:
            with self._locked() as mine:
                if mine:
                    self._retire()
        except OSError as error:
            self._drops.tell("retire", "files of ended processes stay in %s (%s)", self.path, error)

    def _retire(self) -> None:
        _, retired = self._retired()
        names = self._names()
        ended = [file for file in map(self._file, names) if file is not None and not file.alive]
        ended = [file for file in ended if file.name not in retired.merged]
        if ended:
            totals = added([retired.totals, *(file.totals for file in ended)], up=True)
            merged = {file.name for file in ended} | retired.merged.intersection(names)
            self._replace(_Retired(frozenset(merged), totals))
        for name in {file.name for file in ended} | retired.merged.intersection(names):
            os.unlink(os.path.join(self.path, name))
        for name in names:
            path = os.path.join(self.path, name)
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                if not is_ledger(file.read(16)) and time.time() - os.fstat(file.fileno()).st_mtime > STALE_AFTER:
                    os.unlink(path)

    def _replace(self, retired: _Retired) -> None:
        records = [bounded(record._replace(running=0), LABEL_LIMIT) for record in retired.totals.records]
        content = {
            "merged": sorted(retired.merged),
            "records": [[encode(layout).decode(), values] for layout, values, _ in records],
            "dropped": [
                [*key, signal, reason, count] for (signal, reason, key), count in retired.totals.dropped.items()
            ],
        }
        path = os.path.join(self.path, RETIRED)
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{path}.new", path)

    def _read(self) -> tuple[_Retired, list[_File]]:
        """Read everything as of one state of `retired`.

        Raises:
            OSError: the folder cannot be read, or files kept vanishing.
        """
        own = None if self._ledger is None else os.path.basename(self._ledger.path)
        for _ in range(_ATTEMPTS):
            identity, retired = self._retired()
            names = [name for name in self._names() if name != own and name not in retired.merged]
            files = [self._file(name) for name in names]
            if self._identity() == identity:
                return retired, [file for file in files if file is not None]
        raise OSError("files kept changing while they were read")

    def _retired(self) -> tuple[tuple[int, ...] | None, _Retired]:
        """Read `retired` and tell which file it was; it is kept until it is replaced. One that is none is set aside."""
        path = os.path.join(self.path, RETIRED)
        try:
            with open(path, encoding="utf-8") as file:
                identity = _identity(os.fstat(file.fileno()))
                cached = self._cached
                if cached[0] == identity:
                    return cached
                retired = _parse(file)
        except FileNotFoundError:
            identity, retired = None, _NOTHING
        except ValueError as error:
            self._drops.tell("retired", "%s is no file of featurewatch's (%s): it is set aside", path, error)
            with contextlib.suppress(OSError):
                os.replace(path, f"{path}.broken")
            identity, retired = None, _NOTHING
        self._cached = identity, retired
        return identity, retired

    def _identity(self) -> tuple[int, ...] | None:
        try:
            return _identity(os.stat(os.path.join(self.path, RETIRED)))
        except FileNotFoundError:
            return None

    def _names(self) -> list[str]:
        return sorted(name for name in os.listdir(self.path) if NAME.fullmatch(name))

    def _file(self, name: str) -> _File | None:
        """Read a process's ledger; None where it was added up just now, or is not yet one."""
        from fcntl import LOCK_NB, LOCK_SH, flock

        try:
            with open(os.path.join(self.path, name), "rb", buffering=0) as file:
                try:
                    # Shared, so that readers do not take each other for the living owner.
                    flock(file.fileno(), LOCK_SH | LOCK_NB)
                    alive = False
                except OSError:
                    alive = True
                for _ in range(_ATTEMPTS):
                    data = os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
                    if not is_ledger(data):
                        return None
                    found = list(rows(data))
                    if None not in found:
                        break
        except FileNotFoundError:
            return None
        records: dict[FeatureKey, Record] = {}
        dropped: Dropped = {}
        for row in found:
            if row is None:
                continue
            layout = decode(row.layout)
            values = layout.struct.unpack(row.numbers)
            if isinstance(layout, DropLayout):
                dropped.update(
                    ((*reason, layout.key), count) for reason, count in zip(layout.reasons, values, strict=True)
                )
            else:
                record = noted(layout, values, row.notes, row.begun)
                records[layout.key] = record if alive else record._replace(running=0)
        return _File(name, alive, Totals(list(records.values()), dropped))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[bool]:
        """Hold the folder's lock; False where another process holds it."""
        from fcntl import LOCK_EX, LOCK_NB, flock

        with open(os.path.join(self.path, LOCK), "ab") as file:
            try:
                flock(file.fileno(), LOCK_EX | LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


def added(parts: Iterable[Totals], *, up: bool = False) -> Totals:
    """Add up what processes counted, all at once: sums of sums would be rounded otherwise by each worker."""
    grouped: dict[FeatureKey, list[Record]] = {}
    dropped: Dropped = {}
    for part in parts:
        for record in part.records:
            grouped.setdefault(record.layout.key, []).append(record)
        for place, count in part.dropped.items():
            dropped[place] = dropped.get(place, 0) + count
    return Totals([merge(records, up=up) for records in grouped.values()], dropped)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _parse(file: IO[str]) -> _Retired:
    """Read what `_replace` wrote.

    Raises:
        ValueError: it is something else.
    """
    try:
        content = json.load(file)
        records = []
        for encoded, values in content["records"]:
            layout = decode(encoded.encode())
            if not isinstance(layout, Layout):
                raise ValueError("expected a feature's layout")
            layout.struct.pack(*values)
            records.append(Record(layout, values))
        dropped = {
            (signal, reason, FeatureKey(feature, environment)): int(count)
            for feature, environment, signal, reason, count in content["dropped"]
        }
        return _Retired(frozenset(content["merged"]), Totals(records, dropped))
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(str(error)) from error
