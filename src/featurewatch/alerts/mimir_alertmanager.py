"""Alertmanager's configuration over Mimir's API, which checks it whole and keeps it for one tenant.

https://grafana.com/docs/mimir/latest/references/http-api/#alertmanager
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, Final

import yaml

from ..confidential import without_values
from ..errors import UpstreamError
from ..stores.upstream import Upstream
from .alertmanager import HEADER
from .alertmanager_channels import Abilities
from .alertmanager_files import Refusal

__all__ = ["MimirAlertmanager"]

_PATH: Final = "/api/v1/alerts"


class MimirAlertmanager:
    """One tenant's configuration in Mimir's Alertmanager. It reads no files: secrets stand in it.

    Args:
        kept: where what was there before ours is kept, and read from as the base.
    """

    files = False
    home = PurePath("/")

    def __init__(self, upstream: Upstream, kept: Path) -> None:
        self._upstream = upstream
        self._kept = kept
        self._notes: Mapping[str, Any] = {}
        self._told = ""
        self._templates: Any = {}

    @property
    def notes(self) -> Mapping[str, Any]:
        """What the last publication was given to remember; after a start, nothing."""
        return self._notes

    async def open(self) -> None:
        """Nothing is taken possession of."""

    async def close(self) -> None:
        await self._upstream.close()

    async def abilities(self) -> Abilities:
        """Return what it understands: what Alertmanager 0.28 does, less files. Mimir has had that since 2.16."""
        return Abilities(0, 28, files=False)

    async def theirs(self) -> bytes | None:
        """Return what somebody else wrote where ours is or is to be, None where there never was anything."""
        there = await self.current_text()
        if there and not there.startswith(HEADER):
            await asyncio.to_thread(self._keep, there)
            return there.encode()
        return await asyncio.to_thread(lambda: self._kept.read_bytes() if self._kept.exists() else None)

    async def refusal(self, text: str, abilities: Abilities) -> str:
        """Nothing is asked beforehand: Mimir takes a configuration whole or not at all."""
        return ""

    async def publish(self, text: str, secrets: Mapping[str, str], notes: Mapping[str, Any]) -> str:
        """Make this the tenant's configuration.

        Raises:
            Refusal: Mimir refuses it; the last good configuration stays. Unavailable, UpstreamError: as `Upstream`.
        """
        body = json.dumps({"alertmanager_config": text, "template_files": self._templates})
        headers = {"Content-Type": "application/yaml"}
        answer = await self._upstream.request("POST", _PATH, content=body.encode(), headers=headers)
        if answer.status_code in (400, 422):
            said = without_values(" ".join(answer.text.split()))[:300]
            raise Refusal(f"{self._upstream.target.shown} refuses it: {said}")
        if not answer.is_success:
            raise self._upstream.refusal(answer)
        self._notes, self._told = dict(notes), text
        return await self.proven()

    async def proven(self) -> str:
        """Say whether it has another configuration than the one it was told, "" where not."""
        if self._told and await self.current_text() != self._told:
            return f"{self._upstream.target.shown} has another configuration than it was told"
        return ""

    async def current(self) -> str:
        """Return the configuration as it stands, "" where there is none of ours."""
        there = await self.current_text()
        return there if there.startswith(HEADER) else ""

    async def current_text(self) -> str:
        """Return the configuration that Mimir has for the tenant, "" where it has none."""
        answer = await self._upstream.request("GET", _PATH)
        if answer.status_code == 404:
            return ""
        if not answer.is_success:
            raise self._upstream.refusal(answer)
        try:
            told = yaml.safe_load(answer.content)
            self._templates = told.get("template_files") or {}
            return str(told["alertmanager_config"] or "")
        except (yaml.YAMLError, AttributeError, KeyError, TypeError):
            raise UpstreamError(
                f"{self._upstream.target.shown} answered with no configuration of Alertmanager: is the address right?"
            ) from None

    def _keep(self, text: str) -> None:
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        beside = self._kept.with_name(self._kept.name + ".new")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(beside, self._kept)
