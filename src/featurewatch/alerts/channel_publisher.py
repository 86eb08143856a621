"""Keeps Alertmanager's configuration equal to the channels; only a route, a channel or the base changes it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final, Literal, Protocol, TypeAlias

from ..alert_model import Channel
from ..errors import FeaturewatchError, SettingsError, Unavailable
from ..stores.secret_files import SecretFiles
from .alertmanager import Bridge, Rendered, render
from .alertmanager_base import Base, default_base, read_base
from .alertmanager_channels import Abilities, Secrets
from .halves import bisect
from .routes import Route
from .upkeep import INTERVAL_S, Owned, Upkeep

__all__ = ["AlertmanagerTarget", "ChannelPublisher", "ChannelSource", "ChannelState"]

_log = logging.getLogger(__name__)

SYNC_S: Final = 120.0
_KEPT_S: Final = 86_400.0
"""How long a route stays that no rule uses any more: alerts that still carry its label would page somebody else."""

Teller: TypeAlias = Literal["alertmanager", "bridge"]


class ChannelSource(Protocol):
    """Where the channels come from."""

    async def channels(self) -> Mapping[str, Channel]: ...


class AlertmanagerTarget(Owned, Protocol):
    """Where the configuration goes: a file, or Mimir's Alertmanager. See `AlertmanagerFiles` for what each does."""

    files: bool
    """Whether secrets may stand in files beside it."""

    @property
    def notes(self) -> Mapping[str, Any]: ...

    @property
    def home(self) -> PurePath: ...

    async def abilities(self) -> Abilities: ...
    async def theirs(self) -> bytes | None: ...
    async def refusal(self, text: str, abilities: Abilities) -> str: ...
    async def publish(self, text: str, secrets: Mapping[str, str], notes: Mapping[str, Any]) -> str: ...
    async def proven(self) -> str: ...
    async def current(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ChannelState:
    """Who tells a channel, and what is wrong with it; `published`: whether a route of the live configuration has it."""

    teller: Teller = "alertmanager"
    published: bool = False
    error: str = ""


class ChannelPublisher(Upkeep):
    """Publishes channels and routes.

    Args:
        base: the operator's own configuration; None: what was found where ours is written, or nothing.
        bridge: how Alertmanager reaches this bridge.
        secrets_folder: of published secrets, as Alertmanager sees it.
    """

    def __init__(
        self,
        source: ChannelSource,
        secrets: SecretFiles,
        target: AlertmanagerTarget,
        *,
        base: Path | None,
        bridge: Bridge | None,
        secrets_folder: str,
        interval_s: float = INTERVAL_S,
        sync_s: float = SYNC_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(target, what="channels", interval_s=interval_s, sync_s=sync_s, monotonic=monotonic)
        self.publications = 0
        self.failures = 0
        self.repairs = 0
        self._source = source
        self._secrets = secrets
        self._target = target
        self._base = base
        self._bridge = bridge
        self._folder = secrets_folder
        self._one = asyncio.Lock()
        self._needed: dict[str, frozenset[Route]] = {}
        self._used: dict[Route, float] = {}
        """When a rule last used a route, or when it was first heard of."""
        self._live: set[Route] = set()
        """Routes of the configuration as it was written last."""
        self._states: dict[str, ChannelState] = {}
        self._abilities: Abilities | None = None
        self._waiting = False

    def state(self, name: str) -> ChannelState:
        """Tell how a channel does."""
        return self._states.get(name, ChannelState())

    async def ensure(self, who: str, routes: Collection[Route]) -> None:
        """See that these routes are live before rules that use them; what fails is tried again, and raised by nobody.

        Args:
            who: whose routes these are: each publisher of rules has its own.
        """
        self._needed[who] = frozenset(routes)
        self._used |= dict.fromkeys(routes, self._now())
        if self._missing():
            try:
                await self.publish()
            except FeaturewatchError as error:
                self._failed(error.message)

    async def publish(self) -> None:
        """Render, check, write, load and prove; nothing is written where nothing changed."""
        async with self._one:
            await self._open()
            await self._publish()

    async def sync(self) -> None:
        """See whether channels, base and files are as they were, and whether Alertmanager has loaded them."""
        self._rounds.due("sync", self._sync_s)
        async with self._one:
            await self._open()
            amiss = "" if self._waiting else await self._target.proven()
            if amiss:
                _log.warning("%s: it is published anew", amiss)
                self.repairs += 1
            await self._publish(anew=bool(amiss))

    async def _publish(self, *, anew: bool = False) -> None:
        channels = await self._source.channels()
        base = await self._read_base()
        abilities = await self._able()
        routes = self._routes(channels)
        used = {name: channels[name] for route in routes for name in route.channels if name in channels}
        texts, broken = await asyncio.to_thread(self._read_secrets, used)
        secrets = Secrets(self._folder, texts)

        def rendering(without: Collection[str]) -> Rendered:
            return render(
                base, routes, used, abilities=abilities, bridge=self._bridge, secrets=secrets, without=without
            )

        rendered = rendering(broken)
        if anew or self._waiting or rendered.text != await self._target.current():
            refused = await self._refused(rendering, [name for name in used if name not in broken], broken, abilities)
            broken |= refused
            rendered = rendering(broken)
            self._last = self._now()
            self.publications += 1
            files = {name: texts[name] for name in rendered.secrets} if self._target.files else {}
            notes = {"routes": [[*route] for route in routes], "version": f"{abilities.major}.{abilities.minor}"}
            waiting = await self._target.publish(rendered.text, files, notes)
        else:
            waiting = await self._target.proven()
        self._states = {
            name: ChannelState(
                "bridge" if name in rendered.bridged else "alertmanager",
                published=name in used and not waiting and name not in broken and name not in rendered.unfit,
                error=broken.get(name) or rendered.unfit.get(name, ""),
            )
            for name in channels
        }
        for name, error in {**broken, **rendered.unfit}.items():
            _log.warning("channel %s is left out: %s", name, error)
        self._live = set(routes)
        self._waiting = bool(waiting)
        if waiting:
            self._failed(waiting)
        else:
            self._succeeded()

    async def _refused(
        self,
        rendering: Callable[[Collection[str]], Rendered],
        names: Sequence[str],
        broken: Mapping[str, str],
        abilities: Abilities,
    ) -> dict[str, str]:
        """Find the channels that amtool refuses, by halves; raises SettingsError where it refuses theirs alone."""

        async def reason(kept: Sequence[str]) -> str:
            left_out = {*broken, *(name for name in names if name not in kept)}
            return await self._target.refusal(rendering(left_out).text, abilities)

        said = await reason(names)
        if not said:
            return {}
        if alone := await reason([]):
            raise SettingsError(f"{self._base_name()} is refused by amtool: {alone}; the last good one stays")
        return dict(await bisect(names, reason, said))

    async def _read_base(self) -> Base:
        if self._base is not None:
            path = self._base.absolute()
            try:
                text = await asyncio.to_thread(path.read_text, "utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise Unavailable(
                    f"{self._base_name()} cannot be read ({getattr(error, 'strerror', None) or 'no UTF-8'}); the last "
                    "good configuration stays"
                ) from None
            return read_base(text, path.parent, self._base_name())
        found = await self._target.theirs()
        if found is None:
            return default_base()
        # Whoever wrote it did not mean to lose it.
        return read_base(found.decode(errors="replace"), self._target.home, self._base_name())

    def _base_name(self) -> str:
        if self._base is not None:
            return f"ALERTMANAGER_BASE_CONFIG {self._base}"
        return "what was found at ALERTMANAGER_CONFIG"

    async def _able(self) -> Abilities:
        """Ask what Alertmanager understands; one that is away understands what it did, or the least that we know."""
        try:
            self._abilities = await self._target.abilities()
        except FeaturewatchError:
            known = self._target.notes.get("version", "")
            self._abilities = self._abilities or Abilities.of(str(known))
        return self._abilities

    def _read_secrets(self, channels: Mapping[str, Channel]) -> tuple[dict[str, str], dict[str, str]]:
        texts: dict[str, str] = {}
        broken: dict[str, str] = {}
        for name, channel in channels.items():
            for file in channel.secrets.values():
                try:
                    texts[file] = self._secrets.read(file)
                except Unavailable as error:
                    broken[name] = error.message
        if self._bridge is not None and self._bridge.published:
            texts[self._bridge.published] = self._bridge.token
        return texts, broken

    def _routes(self, channels: Mapping[str, Channel]) -> list[Route]:
        """Return the routes that rules use now, and those they used a while ago, while their channels are there."""
        now = {route for routes in self._needed.values() for route in routes}
        oldest = self._now() - _KEPT_S
        kept = {route for route in self._known() if self._used.setdefault(route, self._now()) > oldest}
        lost = {name for route in kept for name in route.channels if name not in channels}
        return sorted(now | {route for route in kept if not lost & set(route.channels)})

    def _missing(self) -> bool:
        needed = {route for routes in self._needed.values() for route in routes}
        return not needed <= self._live

    def _known(self) -> set[Route]:
        """Return the routes of the configuration that was proven last."""
        return {Route(tuple(names), minutes) for names, minutes in self._target.notes.get("routes", [])}

    def _failed(self, message: str) -> None:
        super()._failed(message)
        self.failures += 1
