"""A features.yml: features, objectives, rules and channels as people keep them beside their code. Pure.

Unlike a request, a file is refused for a name that nothing reads: a threshold that is misspelt and ignored would watch
nothing for months.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .. import alert_wire
from ..alert_model import CHANNEL_NAME, CHANNEL_NAME_RULE, AlertRule, Channel
from ..errors import BadInput, OutOfRange, Problem
from ..fields import Fields, nearest, shown
from ..model import ENVIRONMENT, ENVIRONMENT_RULE, FEATURE_ID, FEATURE_ID_RULE
from .channels import KINDS, Kind, read_channel
from .rules import LONGEST_MINUTES, read_channels, read_rule
from .slo import check_window
from .yaml_lines import Document, Path, read_yaml

__all__ = ["Declared", "DeclaredFeature", "read_features"]

_TEXTS: Final = {"name": 200, "description": 4000, "owner": 200, "version": 100, "organization_id": 200}
"""The texts of a feature, and how long they may be."""
_FEATURE: Final = (*_TEXTS, "thresholds", "slo", "environments", "rules")
_THRESHOLDS: Final = {"uptime": 100.0, "error_rate": 100.0, "response_time_p95": math.inf}
_SLO: Final = ("objective", "window", "notification_channels", "cooldown_minutes")
_CHANNEL: Final = ("kind", "settings", "send_resolved", "severities")
_RULE: Final = (*alert_wire.RULE_FIELDS, "id", "origin")
_LOGS: Final = ("levels", "search", "source")
_VARIABLE: Final = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class DeclaredFeature:
    """What a file says of a feature: `fields` as PATCH takes them, only those that it names."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[AlertRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Declared:
    """What a file declares. Channels are as PUT takes them, their secrets in place."""

    features: Mapping[str, DeclaredFeature]
    channels: Mapping[str, Mapping[str, Any]]

    def used_channels(self) -> set[str]:
        """Name the channels that rules and objectives tell."""
        of_rules = {name for one in self.features.values() for rule in one.rules for name in rule.channels}
        slos = (one.fields.get("slo") or {} for one in self.features.values())
        return of_rules.union(*(slo.get("notification_channels", ()) for slo in slos))


def read_features(text: str, *, name: str = "features.yml", environ: Mapping[str, str] | None = None) -> Declared:
    """Read a features.yml.

    Args:
        environ: where `${NAME}` in the settings of channels is looked up; `$$` stands for a dollar sign.

    Raises:
        BadInput, OutOfRange: with everything that is wrong, each with its line.
    """
    documents = read_yaml(text, name=name)
    if len(documents) > 1:
        raise BadInput(f"{name}: expected one document, got {len(documents)}")
    if not documents:
        raise BadInput(f"{name}: it is empty; expected features: or channels:")
    return _File(documents[0], name, environ or {}).read()


class _File:
    """Reads one document, noting all that is wrong with where it stands."""

    def __init__(self, document: Document, name: str, environ: Mapping[str, str]) -> None:
        self._document = document
        self._name = name
        self._environ = environ
        self._wrongs: list[tuple[Path, Problem]] = []

    def read(self) -> Declared:
        whole = self._mapping((), self._document.value, ("features", "channels"))
        channels = {
            name: self._channel(("channels", name), body)
            for name, body in self._named(whole, "channels", CHANNEL_NAME, CHANNEL_NAME_RULE)
        }
        features = {
            feature: self._feature(("features", feature), body)
            for feature, body in self._named(whole, "features", FEATURE_ID, FEATURE_ID_RULE)
        }
        self._refuse()
        return Declared(features, channels)

    def _named(
        self, whole: Mapping[str, Any], section: str, pattern: re.Pattern[str], rule: str
    ) -> Iterable[tuple[str, Any]]:
        for name, body in self._mapping((section,), whole.get(section)).items():
            if pattern.fullmatch(name) is None:
                self._wrong((section, name), f"expected {rule}, got {shown(name)}")
            else:
                yield name, body

    def _feature(self, path: Path, body: Any) -> DeclaredFeature:
        given = self._mapping(path, body, _FEATURE)
        fields: dict[str, Any] = {}
        for name, longest in _TEXTS.items():
            if name in given:
                fields[name] = self._text((*path, name), given[name], longest)
        if "environments" in given:
            fields["environments"] = self._environments((*path, "environments"), given["environments"])
        if "thresholds" in given:
            fields["thresholds"] = self._thresholds((*path, "thresholds"), given["thresholds"])
        if "slo" in given:
            fields["slo"] = self._slo((*path, "slo"), given["slo"])
        return DeclaredFeature(fields, self._rules((*path, "rules"), str(path[-1]), given.get("rules")))

    def _rules(self, path: Path, feature: str, body: Any) -> tuple[AlertRule, ...]:
        if body is None:
            return ()
        if not isinstance(body, list):
            self._wrong(path, f"expected a list of rules, got {shown(body)}")
            return ()
        found: dict[str, AlertRule] = {}
        for at, one in enumerate(body):
            here = (*path, at)
            given = self._mapping(here, one, _RULE)
            if not isinstance(one, dict):
                continue
            self._mapping((*here, "logs"), given.get("logs"), _LOGS)
            try:
                rule = read_rule({**given, "origin": "file"}, feature)
            except BadInput as error:
                for problem in error.problems:
                    self._wrongs.append(((*here, *problem.field.split(".")), problem))
                continue
            if rule.name in found:
                self._wrong((*here, "name"), f"two rules of {feature} are named {rule.name!r}")
            found[rule.name] = rule
        return tuple(found.values())

    def _thresholds(self, path: Path, body: Any) -> dict[str, Any]:
        given = self._mapping(path, body, tuple(_THRESHOLDS))
        for name, value in given.items():
            most = _THRESHOLDS.get(name)
            if most is None or value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
                limit = f"from 0 to {most:g}" if math.isfinite(most) else "above 0"
                self._wrong((*path, name), f"expected a number {limit}, got {shown(value)}")
        # What the file does not name has its default: PATCH leaves only what is left out.
        return {name: given.get(name) for name in _THRESHOLDS}

    def _slo(self, path: Path, body: Any) -> dict[str, Any] | None:
        if body is None:
            return None
        given = self._mapping(path, body, _SLO)
        objective, window = given.get("objective"), given.get("window", "30d")
        if isinstance(objective, bool) or not isinstance(objective, (int, float)) or not 0 < objective < 100:
            self._wrong((*path, "objective"), f"expected a percentage such as 99.5, got {shown(objective)}")
        try:
            check_window(window if isinstance(window, str) else shown(window))
        except BadInput as error:
            self._wrong((*path, "window"), error.message.removeprefix("slo.window: "))
        slo: dict[str, Any] = {"objective": objective, "window": window}
        problems: list[Problem] = []
        channels = read_channels(Fields(given, None, problems), "notification_channels", (), None)
        self._wrongs += [((*path, problem.field), problem) for problem in problems]
        cooldown = given.get("cooldown_minutes", 60)
        if isinstance(cooldown, bool) or not isinstance(cooldown, int) or not 1 <= cooldown <= LONGEST_MINUTES:
            expected = f"expected whole minutes from 1 to {LONGEST_MINUTES}"
            self._wrong((*path, "cooldown_minutes"), f"{expected}, got {shown(cooldown)}")
        if channels:
            slo |= {"notification_channels": list(channels), "cooldown_minutes": cooldown}
        return slo

    def _environments(self, path: Path, body: Any) -> list[str]:
        if not isinstance(body, list):
            self._wrong(path, f"expected a list such as [production, staging], got {shown(body)}")
            return []
        for at, one in enumerate(body):
            if not isinstance(one, str) or ENVIRONMENT.fullmatch(one) is None:
                self._wrong((*path, at), f"expected {ENVIRONMENT_RULE}, got {shown(one)}")
        return body

    def _channel(self, path: Path, body: Any) -> dict[str, Any]:
        given = self._mapping(path, body, _CHANNEL)
        kind = KINDS.get(given["kind"]) if isinstance(given.get("kind"), str) else None
        known = [name for setting in kind.settings for name in (setting.name, *setting.aliases)] if kind else []
        settings, before = self._mapping((*path, "settings"), given.get("settings"), known), len(self._wrongs)
        filled = {name: self._filled((*path, "settings", name), value) for name, value in settings.items()}
        channel = {**given, "settings": filled}
        if len(self._wrongs) == before:
            try:
                read_channel(str(path[-1]), channel, _kept(str(path[-1]), kind, given.get("kind")))
            except BadInput as error:
                self._wrongs += [((*path, *problem.field.split(".")), problem) for problem in error.problems]
        return channel

    def _filled(self, path: Path, value: Any) -> Any:
        """Put the environment's values where a text names them."""
        if not isinstance(value, str):
            return value

        def put(match: re.Match[str]) -> str:
            name = match[1]
            if name is None:
                return "$"
            if not self._environ.get(name):
                self._wrong(path, f"${{{name}}} is not set in the environment; $$ stands for a dollar sign")
            return self._environ.get(name, "")

        return _VARIABLE.sub(put, value)

    def _text(self, path: Path, value: Any, longest: int) -> Any:
        if value is not None and not isinstance(value, str):
            self._wrong(path, f"expected text, got {shown(value)}: put it in quotes")
        elif isinstance(value, str) and len(value) > longest:
            self._wrong(path, f"expected at most {longest} characters, got {len(value)}", out_of_range=True)
        return value

    def _mapping(self, path: Path, value: Any, known: Collection[str] = ()) -> dict[str, Any]:
        """Return an object's fields; `known` are those that there may be, any where it is empty."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._wrong(path, f"expected {'a mapping' if not known else ', '.join(known)}, got {shown(value)}")
            return {}
        found: dict[str, Any] = {}
        for name, inner in value.items():
            if not isinstance(name, str):
                self._wrong((*path, str(name)), f"expected text before the colon, got {shown(name)}: put it in quotes")
            elif known and name not in known:
                near = nearest(name, known) or f"; known are {', '.join(known)}"
                self._wrong((*path, name), f"is not known here{near}")
            else:
                found[name] = inner
        return found

    def _wrong(self, path: Path, message: str, *, out_of_range: bool = False) -> None:
        self._wrongs.append((path, Problem("", message, out_of_range=out_of_range)))

    def _refuse(self) -> None:
        if not self._wrongs:
            return
        told = sorted(
            ((self._document.line(path), path, problem) for path, problem in self._wrongs), key=lambda one: one[0]
        )
        problems = [
            Problem(_where(path), f"{self._name}:{line}: {_where(path)}: {problem.message}")
            for line, path, problem in told
        ]
        kind = OutOfRange if all(problem.out_of_range for _, _, problem in told) else BadInput
        more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
        raise kind(f"{problems[0].message}{more}", problems=problems)


def _kept(name: str, kind: Kind | None, called: Any) -> Channel | None:
    """Stand in for the channel that the bridge may have: a secret that is given as answers show it stays as it is."""
    if kind is None:
        return None
    return Channel(name, called, secrets={setting.name: "" for setting in kind.settings if setting.secret})


def _where(path: Path) -> str:
    """Write a place as people read it: features.chat.rules[0].metric."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"
