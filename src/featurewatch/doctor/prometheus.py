"""Prometheus: what it runs with, and whether that is what the bridge needs. Facts are asked, then judged."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from ..alerts.proof import PREFIX
from ..stores.upstream import Upstream
from .asking import Got, an_object, data_of, get, listed, load_yaml, objects
from .findings import Finding, broken, doubtful, fine, left_out
from .upstreams import answers, clock, recent

__all__ = ["Need", "PrometheusFacts", "Written", "gather", "judge", "written"]

OLDEST: Final = (2, 42)
_GROUP: Final = re.compile(rf"""\bname["']?:\s*["']?({re.escape(PREFIX)}[^"',}}\s]+)""")


@dataclass(frozen=True, slots=True)
class Need:
    """What is wanted of a Prometheus.

    Attributes:
        queried: figures are asked of it; rules: the bridge writes rules for it.
        alertmanagers: the URLs of those that the bridge asks; none: nobody is to be told.
    """

    queried: bool
    rules: bool
    alertmanagers: Sequence[str]


@dataclass(frozen=True, slots=True)
class Written:
    """What the bridge wrote into its folder of rules: the groups by file. `failure`: why the folder cannot be read."""

    folder: Path
    groups: Mapping[str, Collection[str]] = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True, slots=True)
class PrometheusFacts:
    """What a Prometheus says of itself; None: it does not say, as VictoriaMetrics, Mimir and Thanos."""

    shown: str
    setting: str
    answer: Got
    version: str = ""
    flags: Mapping[str, str] | None = None
    config: Mapping[str, Any] | None = None
    runtime: Mapping[str, Any] | None = None
    groups: Sequence[Mapping[str, Any]] | None = None
    alertmanagers: Sequence[str] | None = None


async def gather(upstream: Upstream, *, clock: Callable[[], int] = time.time_ns) -> PrometheusFacts:
    """Ask a Prometheus, or what speaks its language."""
    target = upstream.target
    answer = await get(upstream, "/api/v1/query?query=vector(1)", clock=clock)
    if answer and data_of(answer, "data", "resultType") != "vector":
        wrong = f"{target.shown} answered with something else than Prometheus's query API does"
        answer = Got(None, wrong, answer.status, answer.ahead_s)
    if not answer:
        return PrometheusFacts(target.shown, target.named_by, answer)
    paths = ("status/buildinfo", "status/flags", "status/config", "status/runtimeinfo", "rules", "alertmanagers")
    build, flags, config, runtime, rules, managers = await asyncio.gather(
        *(get(upstream, f"/api/v1/{path}") for path in paths)
    )
    told = data_of(flags, "data")
    ours = isinstance(told, dict) and "web.enable-lifecycle" in told
    active = data_of(managers, "data", "activeAlertmanagers")
    groups = data_of(rules, "data", "groups")
    return PrometheusFacts(
        target.shown,
        target.named_by,
        answer,
        str(data_of(build, "data", "version") or "") if ours else "",
        told if ours else None,
        load_yaml(data_of(config, "data", "yaml")),
        an_object(data_of(runtime, "data")) or None,
        objects(groups) if isinstance(groups, list) else None,
        [str(one.get("url", "")) for one in objects(active)] if isinstance(active, list) else None,
    )


def judge(facts: PrometheusFacts, need: Need, rules: Written | None) -> list[Finding]:
    """Judge a Prometheus; `rules` is what the bridge wrote for it."""
    shown = facts.shown
    found = [answers(shown, facts.answer, f"start it, or set {facts.setting} to where it is")]
    if not facts.answer:
        return found
    found.append(clock(shown, facts.answer.ahead_s))
    if facts.flags is None:
        return [*found, left_out("version", shown, "it does not tell its flags: not Prometheus itself")]
    found.append(recent(shown, facts.version, OLDEST, "knows no keep_firing_for and lacks what the queries need"))
    if need.queried:
        found.append(_exemplars(shown, facts.flags))
    if need.rules:
        found.append(_reload(facts, facts.flags))
        if rules is not None:
            found.append(_rule_files(facts, rules))
        found.append(_alerting(facts, need))
    return found


def written(folder: Path) -> Written:
    """Read which groups the bridge wrote into its folder."""
    found: dict[str, list[str]] = {}
    try:
        for path in sorted(folder.glob("*.yml")):
            # Not read as YAML: ten thousand files of rules would keep the bridge busy for seconds.
            if ours := _GROUP.findall(path.read_text(encoding="utf-8", errors="replace")):
                found[path.name] = ours
        if not folder.is_dir():
            return Written(folder, failure="it does not exist")
    except OSError as error:
        return Written(folder, failure=f"it cannot be read ({error.strerror})")
    return Written(folder, found)


def _exemplars(shown: str, flags: Mapping[str, str]) -> Finding:
    if "exemplar-storage" in flags.get("enable-feature", ""):
        return fine("exemplars", shown, "kept")
    return doubtful(
        "exemplars",
        shown,
        "it keeps no exemplars: a slow call on a chart leads to no trace",
        "start it with --enable-feature=exemplar-storage",
    )


def _reload(facts: PrometheusFacts, flags: Mapping[str, str]) -> Finding:
    if flags.get("web.enable-lifecycle") != "true":
        return broken(
            "reload",
            facts.shown,
            "it refuses to reload when told so: edited rules would never be loaded",
            "start it with --web.enable-lifecycle",
        )
    if facts.runtime is not None and facts.runtime.get("reloadConfigSuccess") is False:
        return broken(
            "reload",
            facts.shown,
            "its last reload failed: it runs with an older configuration, and no later edit counts",
            "read the reason in its log, put the file right (promtool check config), and reload it",
        )
    return fine("reload", facts.shown, "reloads, and took its last configuration")


def _rule_files(facts: PrometheusFacts, rules: Written) -> Finding:
    shown, check = facts.shown, "rule-files"
    if rules.failure:
        return broken(
            check,
            shown,
            f"PROMETHEUS_RULES_DIR {rules.folder}: {rules.failure}",
            "run this as the bridge's user on its machine, or set FEATUREWATCH_PROMETHEUS_RULES_DIR to its folder",
        )
    patterns = [str(one) for one in listed((facts.config or {}).get("rule_files"))]
    says = f"rule_files says {', '.join(patterns) or 'nothing'}"
    advice = (
        f"add {rules.folder}/*.yml to rule_files of its configuration (in containers: mount one volume into both, and "
        "name it as Prometheus sees it), and reload it"
    )
    loaded = {str(group.get("name")) for group in facts.groups or ()}
    missing = [name for names in rules.groups.values() for name in names if name not in loaded]
    total = sum(map(len, rules.groups.values()))
    if missing and facts.groups is not None:
        count = f"{len(missing)} of {total} rule groups that the bridge wrote are not loaded"
        return broken(check, shown, f"{count} ({missing[0]}, …); {says}", advice)
    if total:
        return fine(check, shown, f"all {total} rule groups in {rules.folder} are loaded")
    if facts.config is None:
        return left_out(check, shown, "no rule is written yet, and it does not show its configuration")
    if _covered(rules.folder.absolute(), patterns, facts):
        return fine(check, shown, f"no rule is written yet; rule_files names {rules.folder}")
    return broken(check, shown, f"no rule is written yet, and none would be loaded: {says}", advice)


def _covered(folder: Path, patterns: Sequence[str], facts: PrometheusFacts) -> bool:
    """Whether a pattern names what is written in the folder; only its end counts where it is mounted elsewhere."""
    config = PurePosixPath(str((facts.flags or {}).get("config.file", "")))
    home = PurePosixPath(str((facts.runtime or {}).get("CWD", "/"))) / config.parent
    for pattern in patterns:
        path = PurePosixPath(pattern)
        whole = path if path.is_absolute() else home / path
        if fnmatchcase("rule.yml", path.name) and (
            fnmatchcase(str(folder), str(whole.parent)) or whole.parent.name == folder.name
        ):
            return True
    return False


def _alerting(facts: PrometheusFacts, need: Need) -> Finding:
    if facts.alertmanagers is None:
        return left_out("alerting", facts.shown, "it does not tell to whom it sends alerts")
    if facts.alertmanagers:
        if other := _elsewhere(facts.alertmanagers, need.alertmanagers):
            sent, asked = other
            return doubtful(
                "alerting",
                facts.shown,
                f"it sends its alerts to {sent}, and the bridge asks the Alertmanager at {asked}",
                "let both name the same: alerting.alertmanagers of its configuration, and "
                "FEATUREWATCH_ALERTMANAGER_URLS",
            )
        return fine("alerting", facts.shown, f"sends alerts to {len(facts.alertmanagers)} Alertmanager(s)")
    todo = "name Alertmanager under alerting.alertmanagers of its configuration, and reload it"
    if not need.alertmanagers:
        todo += "; set FEATUREWATCH_ALERTMANAGER_URLS to it too"
    return broken("alerting", facts.shown, "it sends its alerts to nobody: rules fire, and no one hears of it", todo)


def _elsewhere(sent: Sequence[str], asked: Sequence[str]) -> tuple[str, str] | None:
    """Find an Alertmanager that is told and one that is asked on the same host, at other ports, where none is both.

    Other names of a host prove nothing: containers have their own for what is one server.
    """
    told, known = [_address(url) for url in sent], [_address(url) for url in asked]
    if not set(told) & set(known):
        for host, port in told:
            for its, other in known:
                if host == its:
                    return f"{host}:{port}", f"{its}:{other}"
    return None


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return "127.0.0.1" if host in ("localhost", "::1") else host, parts.port or (443 if parts.scheme == "https" else 80)
