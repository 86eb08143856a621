"""Rules for the rulers that are told by their API: Mimir's, and Loki's. Each group is taken or refused by itself.

https://grafana.com/docs/mimir/latest/references/http-api/#ruler
https://grafana.com/docs/loki/latest/reference/loki-http-api/#ruler-endpoints
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import yaml

from ..errors import FeaturewatchError, UpstreamError
from ..stores.upstream import Upstream
from .proof import PREFIX
from .rule_files import Group, as_data
from .ruler_api import Ruler
from .rulers import Progress, Report, RuleGroup, SeenGroup

__all__ = ["ApiRuler", "LokiRuler", "MimirRuler"]

_AT_ONCE: Final = 8
"""Requests at a time."""

_SHOW_S: Final = 75.0
"""Mimir and Loki look for changed rules every minute by default."""

_PAUSE_S: Final = 1.0


class ApiRuler:
    """A ruler whose namespaces with our prefix are ours; all others stay as they are.

    Args:
        rules: the path below which namespaces and groups are written.
        shown: the path that shows what is evaluated.
        formatter: as of `Ruler`.
    """

    name = "the ruler"
    keeps_firing = True

    def __init__(
        self,
        upstream: Upstream,
        *,
        rules: str,
        shown: str,
        formatter: str,
        patience_s: float = _SHOW_S,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._upstream = upstream
        self._ruler = Ruler(upstream, rules=shown, formatter=formatter)
        self._path = rules
        self._patience_s = patience_s
        self._sleep = sleep
        self._there: dict[str, tuple[str, Any]] = {}
        """What the ruler keeps of ours: namespace and group by the group's name, as it tells it."""
        self._told: dict[str, RuleGroup] = {}
        """What it was told last, by rule id."""
        self._refused: set[str] = set()
        self._unproven: set[str] = set()

    async def open(self) -> None:
        """Nothing is taken possession of: whoever writes last is who is right."""

    async def close(self) -> None:
        await self._upstream.close()

    async def publish(self, wanted: Mapping[str, RuleGroup], changed: Collection[str], progress: Progress) -> Report:
        if not self._told:
            self._there = await self._kept()
        refused: dict[str, str] = {}
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(rule: str) -> None:
            async with gate:
                group = wanted.get(rule)
                if group is None:
                    await self._drop(PREFIX + rule)
                    self._told.pop(rule, None)
                elif reason := await self._put(group):
                    refused[rule] = reason
                else:
                    self._told[rule] = group

        done = await asyncio.gather(*map(one, sorted(changed)), return_exceptions=True)
        for failure in done:
            if failure is not None:
                raise failure
        self._refused = {rule for rule in self._refused if rule not in changed} | refused.keys()
        for name in self._there.keys() - {PREFIX + rule for rule in wanted}:
            await self._drop(name)
        passed = [rule for rule in changed if rule in wanted and rule not in refused]
        self._unproven |= set(passed)
        progress(passed, "written")
        late = await self._prove()
        if not late:
            progress([rule for rule in self._unproven if rule in wanted], "loaded")
            self._unproven.clear()
        return Report(refused, waiting=late)

    async def seen(self, names: Collection[str] = ()) -> Sequence[Mapping[str, SeenGroup]]:
        return [await self._ruler.groups(names)]

    async def drifted(self) -> str:
        kept = await self._kept()
        expected = {group.group.name: (self._namespace(group), _plain(group.group)) for group in self._told.values()}
        names = (kept.keys() | expected.keys()) - {PREFIX + rule for rule in self._refused}
        wrong = sorted(name for name in names if kept.get(name) != expected.get(name))
        self._there = kept
        if not wrong:
            return ""
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        return f"{', '.join(wrong[:3])}{more} at {self._ruler.shown} were changed or removed by somebody else"

    async def _put(self, group: RuleGroup) -> str:
        """Write a group, and return why it is refused, "" where it is taken."""
        if not self.keeps_firing and any(rule.keep_firing_minutes for rule in group.group.rules):
            return f"{self.name} drops keep_firing_minutes: set it to 0"
        namespace, body = self._namespace(group), _plain(group.group)
        name = group.group.name
        if self._there.get(name) == (namespace, body):
            return ""
        answer = await self._upstream.request(
            "POST",
            f"{self._path}/{quote(namespace, safe='')}",
            content=json.dumps(body).encode(),
            headers={"Content-Type": "application/yaml"},
        )
        if answer.is_success:
            if name in self._there and self._there[name][0] != namespace:
                await self._drop(name)
            self._there[name] = (namespace, body)
            return ""
        if answer.status_code in (400, 422):
            return " ".join(answer.text.split())[:300] or f"refused with {answer.status_code}"
        raise self._upstream.refusal(answer)

    async def _drop(self, name: str) -> None:
        """Remove a group by its name, if the ruler has it."""
        if name not in self._there:
            return
        namespace, _ = self._there[name]
        path = f"{self._path}/{quote(namespace, safe='')}/{quote(name, safe='')}"
        answer = await self._upstream.request("DELETE", path)
        if not answer.is_success and answer.status_code != 404:
            raise self._upstream.refusal(answer)
        del self._there[name]

    async def _prove(self) -> str:
        groups = {rule: self._told[rule] for rule in self._unproven if rule in self._told}
        waited = 0.0
        while True:
            amiss = ""
            try:
                wrong = await self._ruler.differences(groups, await self._ruler.groups()) if groups else {}
            except FeaturewatchError as error:
                return error.message
            if wrong:
                rule, reason = min(wrong.items())
                amiss = f"rule {rule}: {reason}"
            if not amiss or waited >= self._patience_s:
                return amiss
            await self._sleep(_PAUSE_S)
            waited += _PAUSE_S

    async def _kept(self) -> dict[str, tuple[str, Any]]:
        """Read what the ruler keeps in our namespaces."""
        answer = await self._upstream.request("GET", self._path)
        if answer.status_code == 404 and "no rule groups" in answer.text:
            return {}
        if not answer.is_success:
            raise self._upstream.refusal(answer)
        try:
            namespaces = yaml.load(answer.content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
            return {
                group["name"]: (namespace, _ordered(group))
                for namespace, groups in namespaces.items()
                if namespace.startswith(PREFIX)
                for group in groups
            }
        except (yaml.YAMLError, AttributeError, KeyError, TypeError):
            raise UpstreamError(
                f"{self._ruler.shown} answered with something else than rules: is the address right?"
            ) from None

    def _namespace(self, group: RuleGroup) -> str:
        return PREFIX + group.file.removesuffix(".yml")


class MimirRuler(ApiRuler):
    """Mimir's ruler; `prefix` is its setting of the same name for what speaks Prometheus's language."""

    name = "Mimir"

    def __init__(self, upstream: Upstream, *, prefix: str = "/prometheus", **given: Any) -> None:
        super().__init__(
            upstream,
            rules=f"{prefix}/config/v1/rules",
            shown=f"{prefix}/api/v1/rules",
            formatter=f"{prefix}/api/v1/format_query",
            **given,
        )


class LokiRuler(ApiRuler):
    """Loki's ruler, for rules on lines. It takes `keep_firing_for` and forgets it."""

    name = "Loki"
    keeps_firing = False

    def __init__(self, upstream: Upstream, **given: Any) -> None:
        super().__init__(
            upstream,
            rules="/loki/api/v1/rules",
            shown="/prometheus/api/v1/rules",
            formatter="/loki/api/v1/format_query",
            **given,
        )


def _plain(group: Group) -> Any:
    return _ordered(as_data([group])["groups"][0])


def _ordered(group: Mapping[str, Any]) -> Any:
    """Return a group as plain data; a ruler adds fields with their defaults, which say nothing."""
    names = ("alert", "expr", "for", "keep_firing_for", "labels", "annotations")
    rules = [{name: rule[name] for name in names if rule.get(name)} for rule in group["rules"]]
    return {"name": group["name"], "rules": rules}
