"""Channels as people make, change, delete and test them; who did what is kept, and secrets stay in their files."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from ..alert_model import Channel, Deed
from ..errors import BadInput, NotFound, OutOfRange, Problem
from ..stores.secret_files import SecretFiles
from ..stores.state_channels import ChannelStore
from . import apprises
from .channels import Draft, read_channel, show
from .delivery import Deliverer, MailServer
from .notifications import Group, sample, wanted

__all__ = ["ChannelBook"]

_MOST: Final = 500

_log = logging.getLogger(__name__)


class ChannelBook:
    """Makes, changes, deletes and tells channels. `listen` hears of each change once it is kept.

    Args:
        mail: how mail is sent where a channel does not say.
        link: where a test notification leads to.
        clock: nanoseconds since the epoch.
    """

    def __init__(
        self,
        store: ChannelStore,
        secrets: SecretFiles,
        deliverer: Deliverer,
        *,
        mail: Callable[[], MailServer] = MailServer,
        link: str = "",
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._deliverer = deliverer
        self._mail = mail
        self._link = link
        self._clock = clock
        self._listeners: list[Callable[[], None]] = []

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` on the event loop after each change."""
        self._listeners.append(changed)

    async def channels(self) -> Mapping[str, Channel]:
        return await self._store.channels()

    async def channel(self, name: str) -> Channel:
        """Return a channel; NotFound where there is none."""
        found = await self._store.channel(name)
        if found is None:
            raise NotFound(f"channel {name!r} is not known: PUT makes it")
        return found

    async def put(self, name: str, body: Any, actor: str, *, expected: int | None = None) -> Channel:
        """Make a channel, or replace what it is; one that changes nothing is no edit.

        Raises:
            BadInput, OutOfRange: it is wrong. StaleEdit: `expected` is not its revision.
        """
        current = await self._store.channel(name)
        draft = read_channel(name, body, current)
        await self._check_mail(draft.channel)
        await self._check_apprise(draft)
        if current is None and len(await self._store.channels()) >= _MOST:
            raise OutOfRange(f"there are {_MOST} channels, which is the most: delete one that no rule uses")
        if current is not None and expected in (None, current.revision) and await self._same(draft, current):
            return current
        kept = await asyncio.to_thread(self._keep, draft)
        channel = replace(
            draft.channel, secrets={**draft.channel.secrets, **kept}, updated_ns=self._clock(), updated_by=actor
        )
        action = "channel.create" if current is None else "channel.change"
        try:
            saved = await self._store.save(channel, self._deed(actor, action, channel), expected=expected)
        except BaseException:
            await asyncio.to_thread(self._secrets.drop, kept.values())
            raise
        if current is not None:
            old = set(current.secrets.values()) - set(saved.secrets.values())
            await asyncio.to_thread(self._secrets.drop, old)
        await self.sweep()
        self._changed()
        return saved

    async def delete(self, name: str, actor: str, *, expected: int | None = None) -> None:
        """Delete a channel.

        Raises:
            NotFound: there is none. StaleEdit: as `put`. Conflict: rules use it.
        """
        current = await self.channel(name)
        gone = await self._store.delete(name, self._deed(actor, "channel.delete", current), expected=expected)
        await asyncio.to_thread(self._secrets.drop, gone.secrets.values())
        self._changed()

    async def test(self, name: str, actor: str) -> str:
        """Send a test notification, and return what the provider said; raises as `Deliverer.send`."""
        channel = await self.channel(name)
        _log.info("%s tests the channel %s", actor, name)
        return await self._deliverer.send(channel, sample(channel, self._clock(), self._link))

    async def tell(self, name: str, group: Group) -> str:
        """Tell a channel of a group of alerts, and return what the provider said, "" where it wants none of them."""
        channel = await self.channel(name)
        told = wanted(channel, group)
        return "" if told is None else await self._deliverer.send(channel, told)

    async def sweep(self) -> None:
        """Remove the files of secrets that no channel names: two edits at once leave one."""
        used = {file for channel in (await self._store.channels()).values() for file in channel.secrets.values()}
        await asyncio.to_thread(self._secrets.sweep, used)

    async def _check_mail(self, channel: Channel) -> None:
        if channel.kind != "email" or {"smarthost", "from"} <= channel.settings.keys():
            return
        default = await asyncio.to_thread(self._mail)
        problems = [
            Problem(f"settings.{name}", f"is missing, and so is global.smtp_{name} of ALERTMANAGER_BASE_CONFIG")
            for name, there in (("smarthost", default.smarthost), ("from", default.sender))
            if not there and name not in channel.settings
        ]
        if problems:
            raise BadInput(f"{problems[0].field}: {problems[0].message}", problems=problems)

    async def _check_apprise(self, draft: Draft) -> None:
        url = draft.secrets.get("url") if draft.channel.kind == "apprise" else None
        if url and (wrong := await asyncio.to_thread(apprises.refusal, url)):
            raise BadInput(f"settings.url: {wrong}", problems=[Problem("settings.url", wrong)])

    async def _same(self, draft: Draft, current: Channel) -> bool:
        """Whether a draft says just what there is; a secret that came is compared with the one that is kept."""
        now, then = draft.channel, current
        if (now.kind, now.settings, now.send_resolved, now.severities) != (
            then.kind, then.settings, then.send_resolved, then.severities,
        ):  # fmt: skip
            return False
        if {*now.secrets, *draft.secrets} != set(then.secrets):
            return False
        pairs = [(then.secrets[name], text) for name, text in draft.secrets.items()]
        return await asyncio.to_thread(lambda: all(self._secrets.holds(file, text) for file, text in pairs))

    def _keep(self, draft: Draft) -> dict[str, str]:
        name = draft.channel.name
        return {setting: self._secrets.keep(f"{name}.{setting}", text) for setting, text in draft.secrets.items()}

    def _deed(self, actor: str, action: str, channel: Channel) -> Deed:
        shown = show(channel)
        details = {name: shown[name] for name in ("kind", "settings", "send_resolved", "severities")}
        return Deed(actor, action, "", channel.name, self._clock(), details)

    def _changed(self) -> None:
        for changed in tuple(self._listeners):
            try:
                changed()
            except Exception:
                _log.exception("a listener to changed channels failed")
