"""Rules for Prometheus over files: checked, written together, loaded and proven on every server, else put back.

publish   what changed is one batch, tried whole; one that a server refuses is parted in halves
_write    stage the files, check them in one run of promtool, leave out the bad ones, swap the files
_load     every server reloads; if one refuses, all get the old files back
_prove    each server shows each rule as it was published; then the files are committed
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from ..errors import FeaturewatchError, UpstreamError
from .fileset import FileSet, Step
from .proof import PREFIX
from .routes import Route
from .rule_check import RuleCheck, read_groups
from .rule_files import HEADER, dump
from .ruler_api import Ruler
from .rulers import Progress, Report, RuleGroup, SeenGroup

__all__ = ["PrometheusFiles"]

_SHOW_S: Final = 10.0
"""How long a server that has reloaded may take until it shows what it has loaded."""

_PAUSE_S: Final = 0.25


class _Refused(Exception):
    """A server refuses the files that it was given; it has the old ones again."""


class _Unshown(Exception):
    """A server took the files and does not show some of their rules; it has the old ones again."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        super().__init__()
        self.rules = rules


@dataclass(slots=True)
class _Plan:
    """What files are to become: their contents, and those to be removed."""

    files: dict[str, bytes] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)

    @property
    def changes(self) -> dict[str, str | None]:
        return {
            **{name: sha256(content).hexdigest() for name, content in self.files.items()},
            **dict.fromkeys(self.removed),
        }


@dataclass(slots=True)
class _Outcome:
    """What `Report` will say."""

    refused: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    waiting: str = ""


class PrometheusFiles:
    """A folder of rule files, one a feature, that one or several Prometheus servers read.

    Args:
        sleep: `asyncio.sleep`, or a test's.
        step: told of each step that changes the disk; see `FileSet`.
    """

    name = "Prometheus"

    def __init__(
        self,
        directory: Path,
        rulers: Sequence[Ruler],
        check: RuleCheck,
        *,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        step: Step = lambda name: None,
    ) -> None:
        self.directory = directory.absolute()
        self.rulers = rulers
        self._check = check
        self._sleep = sleep
        self._files = FileSet(
            self.directory,
            self.directory / ".featurewatch",
            what="PROMETHEUS_RULES_DIR",
            ours=lambda content: content.startswith(HEADER.encode()),
            step=step,
        )
        self._members: dict[str, dict[str, RuleGroup]] = {}
        self._file_of: dict[str, str] = {}
        self._good: dict[str, RuleGroup] = {}
        self._pending: set[str] = set()
        """Rules that stand in files and are not proven yet."""
        self._touched: set[str] = set()
        """Files that may differ from what is proven, or that somebody else changed."""
        self._spoilt: set[str] = set()
        """Files that somebody else changed."""

    async def open(self) -> None:
        await asyncio.to_thread(self._files.open)
        self._touched |= self._files.names

    async def close(self) -> None:
        await asyncio.to_thread(self._files.close)
        for ruler in self.rulers:
            await ruler.upstream.close()

    async def publish(self, wanted: Mapping[str, RuleGroup], changed: Collection[str], progress: Progress) -> Report:
        outcome = _Outcome()
        batches = [sorted({*changed, *self._pending})]
        while batches:
            batch = batches.pop()
            for rule in batch:
                self._put(rule, wanted.get(rule))
            try:
                outcome.waiting = await self._once(batch, progress, outcome) or outcome.waiting
            except _Unshown as error:
                self._take_back(batch)
                outcome.refused |= error.rules
                batches.append([rule for rule in batch if rule not in outcome.refused])
            except _Refused as error:
                self._take_back(batch)
                suspects = [rule for rule in batch if rule not in outcome.refused]
                if len(suspects) < 2:
                    outcome.refused |= dict.fromkeys(suspects, str(error))
                else:
                    middle = len(suspects) // 2
                    batches += [suspects[middle:], suspects[:middle]]
            except FeaturewatchError:
                self._take_back(batch)
                raise
        return Report(outcome.refused, outcome.blocked, outcome.waiting)

    async def seen(self, names: Collection[str] = ()) -> Sequence[Mapping[str, SeenGroup]]:
        return [await ruler.groups(names) for ruler in self.rulers]

    async def drifted(self) -> str:
        names = await asyncio.to_thread(self._files.drifted)
        if not names or self._files.pending:
            return ""
        self._spoilt |= set(names)
        self._touched |= set(names)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"{', '.join(names[:3])}{more} in {self.directory} were changed or removed by somebody else"

    async def _once(self, batch: Sequence[str], progress: Progress, outcome: _Outcome) -> str:
        """Write, load and prove one batch, with what is not proven of earlier ones; say why it cannot be proven yet.

        Raises:
            _Refused, _Unshown: a server does not take it; the old files are in place again.
        """
        fresh = await self._write(batch, outcome)
        self._pending |= set(batch)
        passed = {rule: group for rule in self._pending if (group := self._edition(rule)) is not None}
        gone = {self._good[rule].group.name for rule in self._pending if rule not in passed and rule in self._good}
        accepted = [rule for rule in passed if rule not in outcome.refused and rule not in outcome.blocked]
        if fresh:
            progress(accepted, "written")
        waiting = "unknown" if fresh else await self._prove(passed, gone, patience_s=0)
        if waiting:
            waiting = await self._load() or await self._prove(passed, gone, patience_s=_SHOW_S)
        if waiting:
            return waiting
        if self._files.pending:
            await asyncio.to_thread(self._files.commit)
        for rule in self._pending:
            if rule in passed:
                self._good[rule] = passed[rule]
            else:
                self._good.pop(rule, None)
        self._pending.clear()
        self._touched.clear()
        self._spoilt.clear()
        progress(accepted, "loaded")
        return ""

    async def _write(self, batch: Sequence[str], outcome: _Outcome) -> bool:
        """Bring the files to what they should hold, and say whether any was changed.

        What does not pass is noted in `outcome`; its last good edition stays.
        """
        plan = await asyncio.to_thread(self._plan)
        for name in await asyncio.to_thread(self._files.foreign, plan.files):
            for rule in list(self._members[name]):
                outcome.blocked[rule] = f"{self.directory / name} is in the way, and not ours: move it elsewhere"
                self._put(rule, None)
            plan = await asyncio.to_thread(self._plan)
        if plan.changes == self._files.pending and not self._spoilt:
            return False
        folder = await asyncio.to_thread(self._files.stage, plan.files)
        if bad := await self._refused(plan, folder):
            outcome.refused |= bad
            for rule in bad:
                self._put(rule, self._good.get(rule) or await asyncio.to_thread(self._on_disk, rule))
            plan = await asyncio.to_thread(self._plan)
            folder = await asyncio.to_thread(self._files.stage, plan.files)
            if still := await self._refused(plan, folder):
                rule, reason = min(still.items())
                raise UpstreamError(
                    f"rule {rule} is refused as it was published before ({reason}): nothing was changed"
                )
        if plan.changes:
            await asyncio.to_thread(self._files.swap, plan.files, plan.removed)
        return bool(plan.changes)

    async def _refused(self, plan: _Plan, folder: Path) -> dict[str, str]:
        members = [group for name in plan.files for group in self._members[name].values()]
        return await self._check.refused(members, plan.files, folder) if members else {}

    async def _load(self) -> str:
        """Let every server reload, and say who could not be told; raises _Refused with the old files in place again."""
        waiting, refusal = "", ""
        for ruler, answer in await self._reload():
            if isinstance(answer, FeaturewatchError):
                waiting = answer.message
            elif answer:
                refusal = f"{ruler.shown} refuses it: {answer}"
        if refusal:
            await self._put_back()
            raise _Refused(refusal)
        return waiting

    async def _put_back(self) -> None:
        """Give the servers the old files again; UpstreamError where one refuses these too: then it is not the rules."""
        await asyncio.to_thread(self._files.roll_back)
        for ruler, answer in await self._reload():
            if isinstance(answer, str) and answer:
                raise UpstreamError(
                    f"{ruler.shown} refuses its configuration ({answer}), with our last good rules too: see its log"
                )

    async def _reload(self) -> list[tuple[Ruler, str | FeaturewatchError]]:
        async def one(ruler: Ruler) -> tuple[Ruler, str | FeaturewatchError]:
            try:
                return ruler, await ruler.reload()
            except FeaturewatchError as error:
                return ruler, error

        return list(await asyncio.gather(*map(one, self.rulers)))

    async def _prove(self, groups: Mapping[str, RuleGroup], gone: Collection[str], *, patience_s: float) -> str:
        """Wait until every server shows the groups, and not those that are gone; say what is amiss after a while.

        Raises:
            _Unshown: after `patience_s`, a server that reads our files shows some of them otherwise.
        """
        names = [*(group.group.name for group in groups.values()), *gone]
        waited = 0.0
        while names:
            amiss, wrong = await self._look(groups, gone, names)
            if not amiss:
                break
            if waited >= patience_s:
                if wrong and patience_s:
                    await self._put_back()
                    raise _Unshown(wrong)
                return amiss
            await self._sleep(_PAUSE_S)
            waited += _PAUSE_S
        return ""

    async def _look(
        self, groups: Mapping[str, RuleGroup], gone: Collection[str], names: Collection[str]
    ) -> tuple[str, dict[str, str]]:
        """Say what is amiss at the first server where something is, and with which rules if it is theirs alone."""
        for ruler in self.rulers:
            try:
                seen = await ruler.groups(names)
            except FeaturewatchError as error:
                return error.message, {}
            wrong = await ruler.differences(groups, seen)
            if wrong and not seen and not await ruler.groups():
                return f"{ruler.shown} shows none of our rules: add {self.directory}/*.yml to its rule_files", {}
            if wrong:
                rule, reason = min(wrong.items())
                return f"rule {rule}: {reason}", wrong
            if left := sorted(name for name in gone if name in seen):
                return f"{ruler.shown} still shows {left[0]}, which was removed", {}
        return "", {}

    def _edition(self, rule: str) -> RuleGroup | None:
        """Return the edition of a rule that its file holds."""
        name = self._file_of.get(rule)
        return None if name is None else self._members[name][rule]

    def _take_back(self, batch: Sequence[str]) -> None:
        """Let the files hold again what was good of these rules."""
        for rule in batch:
            self._put(rule, self._good.get(rule))
        self._pending -= set(batch)

    def _put(self, rule: str, group: RuleGroup | None) -> None:
        """Let a file hold an edition of a rule, or none."""
        was = self._file_of.pop(rule, None)
        if was is not None:
            self._touched.add(was)
            del self._members[was][rule]
        if group is not None:
            self._touched.add(group.file)
            self._file_of[rule] = group.file
            self._members.setdefault(group.file, {})[rule] = group

    def _plan(self) -> _Plan:
        """Find which files differ from those that are proven, or were spoilt."""
        plan = _Plan()
        proven = self._files.digests
        for name in sorted(self._touched):
            members = self._members.get(name)
            if members:
                content = dump(members[rule].group for rule in sorted(members)).encode()
                if sha256(content).hexdigest() != proven.get(name) or name in self._spoilt:
                    plan.files[name] = content
            elif name in proven:
                plan.removed.append(name)
        return plan

    def _on_disk(self, rule: str) -> RuleGroup | None:
        """Read the last good edition of a rule from its file: it was written before this bridge started."""
        name = self._file_of.get(rule, "")
        there = self._files.read(name) if name in self._files.names else None
        found = [group for group in read_groups(there or b"") if group.name == PREFIX + rule]
        return RuleGroup(rule, 0, name, found[0], Route((), 0)) if found else None
