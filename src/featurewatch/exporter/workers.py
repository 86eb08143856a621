"""How this process shares its totals with the other workers of its server, and answers for all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from ..model import FeatureKey
from .aggregate import Aggregate
from .drops import Drops
from .snapshot import Snapshot

if TYPE_CHECKING:
    from .shared import SharedFolder


class Workers:
    """The folder that is shared now, if any; those of earlier configurations keep this process's ledger open.

    Going back to a folder must not begin a second ledger: what is counted would be in both.
    """

    def __init__(self, drops: Drops) -> None:
        self._drops = drops
        self._known: dict[str, SharedFolder] = {}
        self.reset()

    def reset(self) -> None:
        """Have no folder and a new lock: what a forked child does until its first call; its parent keeps its ledger."""
        for folder in self._known.values():
            folder.close()
        self._known.clear()
        self._lock = threading.RLock()
        self._folder: SharedFolder | None = None
        self._renewed = False

    def join(self, path: str, aggregates: Iterable[Aggregate], on_open: Callable[[], None]) -> None:
        """Show all totals in the folder from here on; without a path, or where the folder fails, no more in any."""
        with self._lock:
            before, folder = self._folder, self._open(path, on_open) if path else None
            if folder is before is None or (folder is before and not self._renewed):
                return
            self._folder, self._renewed = folder, False
            for aggregate in aggregates:
                aggregate.mirror(None if folder is None else folder.slot())
            self._drops.mirror(None if folder is None else folder.slot)

    def add(self, aggregate: Aggregate) -> None:
        """Show one more aggregate's totals."""
        with self._lock:
            if self._folder is not None:
                aggregate.mirror(self._folder.slot())

    def exposed(
        self, aggregates: Iterable[Aggregate]
    ) -> tuple[list[Snapshot], Mapping[tuple[str, str, FeatureKey], int]]:
        """Return what a scrape shows: this process's totals and all others'; exemplars are of this process alone."""
        folder, dropped = self._folder, self._drops.snapshot()
        if folder is None:
            return [aggregate.snapshot() for aggregate in aggregates], dropped
        from .shared import Totals, added

        folder.tell_problem()
        mine = list(aggregates)
        exemplars = {aggregate.key: aggregate.exemplars() for aggregate in mine}
        own = Totals([aggregate.record() for aggregate in mine], dropped)
        totals = added([own, *folder.others()])
        return [record.snapshot(exemplars.get(record.layout.key)) for record in totals.records], totals.dropped

    def _open(self, path: str, on_open: Callable[[], None]) -> SharedFolder | None:
        folder = self._known.get(path)
        if folder is None:
            from .shared import SharedFolder

            folder = self._known[path] = SharedFolder(path, self._drops)
        if folder.opened:
            return folder
        if not folder.open():
            return None
        self._renewed = True
        on_open()
        return folder
