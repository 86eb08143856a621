"""What is asked of an Alertmanager about its configuration: its version, to reload, and which file it has loaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from ..confidential import without_values
from ..errors import UpstreamError
from ..stores.upstream import Upstream
from .alertmanager_channels import Abilities

__all__ = ["Alertmanager", "Loaded", "config_hash"]

_RELOAD_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """Which configuration an Alertmanager has, by `config_hash`, and whether it took the last one it was given."""

    hash: int
    successful: bool


def config_hash(content: bytes) -> int:
    """Compute what alertmanager_config_hash shows of a file: the first 6 bytes of its MD5, little-endian.

    https://github.com/prometheus/alertmanager/blob/main/config/coordinator.go (md5HashAsMetricValue)
    """
    return int.from_bytes(hashlib.md5(content, usedforsecurity=False).digest()[:6], "little")


class Alertmanager:
    """One Alertmanager."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream

    @property
    def shown(self) -> str:
        return self.upstream.target.shown

    async def abilities(self) -> Abilities:
        """Return what it understands; raises Unavailable, UpstreamError where it cannot be asked."""
        answer = await self.upstream.ask_json("GET", "/api/v2/status")
        try:
            return Abilities.of(answer["versionInfo"]["version"])
        except (KeyError, TypeError):
            raise UpstreamError(f"{self.shown} does not tell its version: is the address right?") from None

    async def reload(self) -> str:
        """Let it read its configuration anew, and return why it refused it, "" where it took it.

        Raises:
            Unavailable, UpstreamError: it cannot be told.
        """
        answer = await self.upstream.request("POST", "/-/reload", timeout=_RELOAD_S)
        if answer.is_success:
            return ""
        if answer.status_code in (401, 403, 404, 405, 429, 502, 503, 504):
            raise self.upstream.refusal(answer)
        said = without_values(" ".join(answer.text.split()))[:300]
        return said.removeprefix("failed to reload config: ") or f"{answer.status_code} without a reason"

    async def loaded(self) -> Loaded:
        """Return which configuration it has; raises Unavailable, UpstreamError where it cannot be asked."""
        answer = await self.upstream.ask("GET", "/metrics")
        found = {
            name: float(value)
            for line in answer.text.splitlines()
            if line.startswith("alertmanager_config_")
            for name, _, value in [line.partition(" ")]
        }
        try:
            return Loaded(
                int(found["alertmanager_config_hash"]), found["alertmanager_config_last_reload_successful"] == 1
            )
        except KeyError:
            raise UpstreamError(
                f"{self.upstream.target.shown} shows no alertmanager_config_hash at /metrics: is the address right?"
            ) from None
