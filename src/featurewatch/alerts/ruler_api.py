"""What is asked of a server that evaluates rules, Prometheus, vmalert, Mimir or Loki: to reload, and to show them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

import httpx

from ..errors import FeaturewatchError, Unavailable, UpstreamError
from ..stores.upstream import Upstream
from .proof import differs, same_expression, seen_groups
from .rulers import RuleGroup, SeenGroup

__all__ = ["Ruler"]

_RELOAD_S: Final = 120.0
"""Prometheus 2.42 takes 11 s for 10,000 rules on a busy machine."""

_LIST_S: Final = 60.0
_LARGE: Final = 256 * 1024
"""Bytes whose reading would hold up the event loop."""

_MANY: Final = 200
"""Groups whose comparison would."""

_FEW: Final = 20
"""Groups that are asked for by name; more of them come with all the others. Prometheus before 2.44 ignores names."""


class Ruler:
    """One server that evaluates rules.

    Args:
        rules: the path that lists its rules.
        formatter: the path that writes an expression as the server does, for what differs in its writing alone.
    """

    def __init__(
        self, upstream: Upstream, *, rules: str = "/api/v1/rules", formatter: str = "/api/v1/format_query"
    ) -> None:
        self.upstream = upstream
        self._rules = rules
        self._formatter = formatter
        self._written: dict[str, str] = {}

    @property
    def shown(self) -> str:
        return self.upstream.target.shown

    async def reload(self) -> str:
        """Let the server read its files anew, and return why it refused them, "" where it took them.

        Raises:
            Unavailable: it cannot be reached. UpstreamError: it does not reload when told so.
        """
        answer = await self.upstream.request("POST", "/-/reload", timeout=_RELOAD_S)
        if answer.is_success:
            return ""
        said = " ".join(answer.text.split())[:300]
        if "ifecycle" in said or answer.status_code in (404, 405):
            raise UpstreamError(
                f"{self.shown} does not reload on demand ({answer.status_code}): start it with --web.enable-lifecycle"
            )
        if answer.status_code in (401, 403, 429, 502, 503, 504):
            raise self.upstream.refusal(answer)
        return said or f"{answer.status_code} without a reason"

    async def groups(self, names: Collection[str] = ()) -> dict[str, SeenGroup]:
        """Return our groups as the server shows them, by name; `names`: these are enough.

        Raises:
            Unavailable, UpstreamError: it cannot be asked.
        """
        asked = {"type": "alert", **({"rule_group[]": sorted(names)} if 0 < len(names) <= _FEW else {})}
        # Compressing megabytes on the same machine takes longer than passing them on.
        headers = {"Accept-Encoding": "identity"}
        answer = await self.upstream.ask("GET", self._rules, params=asked, headers=headers, timeout=_LIST_S)
        if len(answer.content) < _LARGE:
            return seen_groups(answer.content, self.shown, names)
        return await asyncio.to_thread(seen_groups, answer.content, self.shown, names)

    async def differences(self, groups: Mapping[str, RuleGroup], seen: Mapping[str, SeenGroup]) -> dict[str, str]:
        """Say of each group, by rule id, in what it is not as published; those that are as published are left out."""

        def compare() -> dict[str, str]:
            said = ((group.id, differs(group, seen.get(group.group.name), self.shown)) for group in groups.values())
            return {rule: wrong for rule, wrong in said if wrong}

        found = compare() if len(groups) < _MANY else await asyncio.to_thread(compare)
        for rule in [rule for rule, wrong in found.items() if wrong.endswith(" another expr")]:
            if await self._same(groups[rule], seen[groups[rule].group.name]):
                del found[rule]
        return found

    async def _same(self, group: RuleGroup, shown: SeenGroup) -> bool:
        """Ask the server to write our expressions in its way, and compare these."""
        for rule, other in zip(group.group.rules, shown.rules, strict=True):
            if not same_expression(rule.expr, other.expr) and not same_expression(
                await self._as_written(rule.expr), await self._as_written(other.expr)
            ):
                return False
        return True

    async def _as_written(self, expression: str) -> str:
        if expression not in self._written:
            if len(self._written) > 1000:
                self._written.clear()
            try:
                answer = await self.upstream.ask_json("POST", self._formatter, data={"query": expression})
                self._written[expression] = str(answer["data"])
            except (FeaturewatchError, httpx.HTTPError, KeyError, TypeError):
                return expression
        return self._written[expression]

    async def ready(self) -> None:
        """Return when the server answers; raises Unavailable where it does not."""
        answer = await self.upstream.request("GET", self._rules, params={"type": "record"})
        if answer.status_code >= 500:
            raise Unavailable(f"{self.shown} answered {answer.status_code}")
