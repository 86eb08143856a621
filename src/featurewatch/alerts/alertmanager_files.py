"""Alertmanager's configuration over a file: checked, written with its secrets, loaded and proven, else put back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from ..confidential import without_values
from ..errors import FeaturewatchError, UpstreamError
from .alertmanager import HEADER
from .alertmanager_api import Alertmanager, config_hash
from .alertmanager_channels import Abilities
from .fileset import FileSet, Step
from .tools import Tool

__all__ = ["SECRETS", "AlertmanagerFiles", "Refusal"]

SECRETS: Final = "featurewatch-secrets"
"""The folder beside the configuration with the secrets that it names."""

_SHOW_S: Final = 10.0
_PAUSE_S: Final = 0.25
_UNREADABLE: Final = "; give the folder the group that Alertmanager runs as, and the setgid bit (chmod g+s)"
_VERSION: Final = re.compile(r"version (\d+\.\d+)")


class Refusal(UpstreamError):
    """A configuration does not pass; the last good one is in place."""


class AlertmanagerFiles:
    """The file that one Alertmanager or a cluster of them reads, and the secrets beside it.

    Both are readable by their owner alone, or by their folder's group too where that has the setgid bit.
    """

    files = True

    def __init__(
        self,
        path: Path,
        alertmanagers: Sequence[Alertmanager],
        amtool: Tool,
        *,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        step: Step = lambda name: None,
    ) -> None:
        self.path = path.absolute()
        self._alertmanagers = alertmanagers
        self._amtool = amtool
        self._sleep = sleep
        self._files = FileSet(
            self.path.parent,
            self.path.parent / f".featurewatch-{self.path.name}",
            what="ALERTMANAGER_CONFIG",
            ours=lambda content: content.startswith(HEADER.encode()),
            mode=0o600,
            step=step,
        )

    @property
    def _before(self) -> Path:
        return self.path.with_name(f"{self.path.name}.before-featurewatch")

    @property
    def notes(self) -> Mapping[str, Any]:
        """What the last publication was given to remember."""
        return self._files.notes

    async def open(self) -> None:
        """Lock the file, and repair what a crash left; raises StoreLocked, Unavailable."""
        await asyncio.to_thread(self._files.open)

    async def close(self) -> None:
        await asyncio.to_thread(self._files.close)
        for each in self._alertmanagers:
            await each.upstream.close()

    async def abilities(self) -> Abilities:
        """Return what all of them understand: what the oldest does."""
        return min(
            await asyncio.gather(*(each.abilities() for each in self._alertmanagers)),
            key=lambda each: (each.major, each.minor),
        )

    @property
    def home(self) -> Path:
        """Where Alertmanager looks for relative paths."""
        return self.path.parent

    async def theirs(self) -> bytes | None:
        """Return what somebody else wrote where ours is or is to be, None where there never was anything.

        Before it is overwritten, it is kept beside under the name `….before-featurewatch`.
        """
        found = await asyncio.to_thread(self._theirs)
        return await asyncio.to_thread(self._files.read, self._before.name) if found is None else found

    async def refusal(self, text: str, abilities: Abilities) -> str:
        """Say why a configuration would be refused, "" where it would not: asked of amtool.

        An amtool that is absent, or older than what runs, is not asked: Alertmanager itself refuses whole.
        """
        if self._amtool.path is None or await self._older(abilities):
            return ""
        content = {self.path.name: text.encode()}
        folder = await asyncio.to_thread(self._files.stage, content)
        ran = await self._amtool.run(["check-config", self.path.name], folder)
        if ran is None or ran.code == 0:
            return ""
        said = " ".join(ran.output.partition("FAILED:")[2].partition("amtool: error")[0].split())
        return without_values(said or " ".join(ran.output.split()))[:300]

    async def publish(self, text: str, secrets: Mapping[str, str], notes: Mapping[str, Any]) -> str:
        """Make this the configuration of all, and say why it is not proven yet, "" where it is.

        Args:
            secrets: by file name, as the configuration names them.
            notes: to be remembered with it.

        Raises:
            Refusal: one of them refuses it; the last good configuration is in place again.
            Unavailable, UpstreamError: it could not be written, or even the last good one is refused.
        """
        files = {f"{SECRETS}/{name}": secret.encode() for name, secret in secrets.items()}
        files[self.path.name] = text.encode()
        await asyncio.to_thread(self._swap, files)
        refusal, waiting = await self._reload()
        if refusal:
            await self._put_back()
            raise Refusal(refusal)
        waiting = waiting or await self._prove(config_hash(text.encode()), _SHOW_S)
        if not waiting:
            await asyncio.to_thread(self._files.commit, notes)
        return waiting

    async def proven(self) -> str:
        """Say what is not as it was published, "" where all is: the files, and what each has loaded."""
        if names := await asyncio.to_thread(self._files.drifted):
            return f"{', '.join(names)} in {self.path.parent} were changed or removed by somebody else"
        content = await asyncio.to_thread(self._files.read, self.path.name)
        return "" if content is None else await self._prove(config_hash(content), 0)

    async def current(self) -> str:
        """Return the configuration as it stands, "" where there is none of ours."""
        content = await asyncio.to_thread(self._files.read, self.path.name)
        ours = content is not None and content.startswith(HEADER.encode())
        return content.decode(errors="replace") if content is not None and ours else ""

    def _swap(self, files: Mapping[str, bytes]) -> None:
        removed = [name for name in self._files.names if name not in files]
        changes = {name: sha256(content).hexdigest() for name, content in files.items()} | dict.fromkeys(removed)
        if changes == self._files.pending:
            return
        theirs = self._theirs()
        if theirs is not None:
            self._files.keep_aside(self._before.name, theirs)
        self._files.stage(files)
        self._files.swap(files, removed)

    def _theirs(self) -> bytes | None:
        content = self._files.read(self.path.name)
        if content is None or not content.strip() or content.startswith(HEADER.encode()):
            return None
        return content

    async def _older(self, abilities: Abilities) -> bool:
        ran = await self._amtool.run(["--version"], self.path.parent)
        found = _VERSION.search(ran.output) if ran is not None else None
        if found is None:
            return False
        own = Abilities.of(found[1])
        return (own.major, own.minor) < (abilities.major, abilities.minor)

    async def _reload(self) -> tuple[str, str]:
        """Let all reload, and return who refused and who could not be told."""
        refusal, waiting = "", ""

        async def one(each: Alertmanager) -> str | FeaturewatchError:
            try:
                said = await each.reload()
            except FeaturewatchError as error:
                return error
            hint = _UNREADABLE if "permission denied" in said else ""
            return f"{each.shown} refuses it: {said}{hint}" if said else ""

        for answer in await asyncio.gather(*map(one, self._alertmanagers)):
            if isinstance(answer, FeaturewatchError):
                waiting = answer.message
            else:
                refusal = answer or refusal
        return refusal, waiting

    async def _put_back(self) -> None:
        await asyncio.to_thread(self._files.roll_back)
        refusal, _ = await self._reload()
        if refusal:
            raise UpstreamError(f"{refusal}; so it was with the last good configuration too")

    async def _prove(self, expected: int, patience_s: float) -> str:
        """Wait until each shows by its hash that it has loaded the file."""
        waited = 0.0
        while True:
            amiss = ""
            for each in self._alertmanagers:
                try:
                    loaded = await each.loaded()
                except FeaturewatchError as error:
                    return error.message
                if loaded.hash != expected or not loaded.successful:
                    amiss = f"{each.shown} has loaded another configuration: does its --config.file name {self.path}?"
            if not amiss or waited >= patience_s:
                return amiss
            await self._sleep(_PAUSE_S)
            waited += _PAUSE_S
