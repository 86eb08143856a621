"""Notification channels as people write them: what each kind needs, checked, and shown again without secrets. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from ..alert_model import CHANNEL_KINDS, CHANNEL_NAME, CHANNEL_NAME_RULE, SEVERITIES, Channel, ChannelKind
from ..errors import BadInput, Problem
from ..fields import Fields, nearest, refuse, shown
from ..times import format_instant
from . import channel_values as values

__all__ = ["KINDS", "SET", "Draft", "Kind", "Setting", "channel_name", "example", "read_channel", "show"]

SET: Final = "set"
"""What stands in an answer where a secret is. Sent back in its place, it means the secret that there is."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a kind.

    Attributes:
        read: makes the value that is kept from what came; raises Wrong.
        aliases: other names that people know it by.
        help: what it is, for the documentation and for messages about its absence.
    """

    name: str
    help: str
    read: Callable[[Any], Any]
    required: bool = False
    secret: bool = False
    aliases: tuple[str, ...] = ()


class Kind(NamedTuple):
    """What a kind of channel needs; `example` is a set of settings that works."""

    settings: tuple[Setting, ...]
    example: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """A channel as it came, checked: `secrets` are texts to be kept, `kept` names those that stay as they are."""

    channel: Channel
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    kept: frozenset[str] = frozenset()


def _webhook(provider: str, sample: str) -> tuple[Setting, Mapping[str, Any]]:
    setting = Setting(
        "webhook_url", f"The address that {provider} made for this channel.", values.url, required=True, secret=True,
        aliases=("url", "api_url"),
    )  # fmt: skip
    return setting, {"webhook_url": sample}


_SLACK, _SLACK_EXAMPLE = _webhook("Slack", "https://hooks.slack.com/services/T000/B000/XXXX")
_TEAMS, _TEAMS_EXAMPLE = _webhook("Teams (Workflows)", "https://prod-00.westeurope.logic.azure.com/workflows/XXXX")
_DISCORD, _DISCORD_EXAMPLE = _webhook("Discord", "https://discord.com/api/webhooks/000/XXXX")

KINDS: Final[Mapping[ChannelKind, Kind]] = {
    "webhook": Kind(
        (
            Setting("url", "Gets Alertmanager's webhook JSON by POST; what follows '?' is a secret.", values.url, True),
            Setting("bearer_token", "Shown as Authorization: Bearer.", values.secret, secret=True, aliases=("token",)),
            Setting("username", "For basic authentication, with `password`.", values.plain),
            Setting("password", "For basic authentication.", values.secret, secret=True),
        ),
        {"url": "https://example.com/hook", "bearer_token": "XXXX"},
    ),
    "email": Kind(
        (
            Setting("to", "One or more addresses, separated by commas.", values.addresses, True),
            Setting("from", "The sender; by default `global.smtp_from` of your own configuration.", values.address),
            Setting(
                "smarthost", "host:port of the mail server; by default `global.smtp_smarthost`.", values.host_port,
                aliases=("smtp_smarthost", "server"),
            ),
            Setting("username", "Who we are at the mail server.", values.plain, aliases=("auth_username",)),
            Setting("password", "Its password.", values.secret, secret=True, aliases=("auth_password",)),
            Setting("require_tls", "false: mail is sent unencrypted where the server knows no STARTTLS.", values.flag),
        ),
        {"to": "ops@example.com", "from": "featurewatch@example.com", "smarthost": "smtp.example.com:587",
         "username": "featurewatch", "password": "XXXX"},
    ),
    "slack": Kind(
        (
            _SLACK,
            Setting("channel", "Another channel than the webhook's own.", values.plain),
            Setting("username", "Who it comes from.", values.plain),
        ),
        {**_SLACK_EXAMPLE, "channel": "#ops"},
    ),
    "pagerduty": Kind(
        (
            Setting(
                "routing_key", "The integration key of an Events API v2 integration.", values.secret, True, secret=True,
                aliases=("integration_key",),
            ),
            Setting("url", "By default https://events.pagerduty.com/v2/enqueue.", values.url, aliases=("api_url",)),
        ),
        {"routing_key": "XXXX"},
    ),
    "opsgenie": Kind(
        (
            Setting("api_key", "The key of an API integration.", values.secret, True, secret=True),
            Setting("url", "By default https://api.opsgenie.com; in the EU https://api.eu.opsgenie.com.", values.url,
                    aliases=("api_url",)),
            Setting("team", "The team that is told.", values.plain),
        ),
        {"api_key": "XXXX", "team": "ops"},
    ),
    "msteams": Kind((_TEAMS,), _TEAMS_EXAMPLE),
    "discord": Kind((_DISCORD,), _DISCORD_EXAMPLE),
    "telegram": Kind(
        (
            Setting("bot_token", "The bot's token.", values.bot_token, True, secret=True, aliases=("token",)),
            Setting("chat_id", "The number of the chat.", values.chat, True),
            Setting("url", "By default https://api.telegram.org.", values.url, aliases=("api_url",)),
        ),
        {"bot_token": "123456:XXXX", "chat_id": -1001234567890},
    ),
    "apprise": Kind(
        (
            Setting(
                "url", "An address as apprise takes it, for any of the services that it knows.", values.apprise, True,
                secret=True, aliases=("urls", "apprise_url"),
            ),
        ),
        {"url": "ntfy://ntfy.sh/XXXX"},
    ),
}  # fmt: skip


def channel_name(text: str) -> str:
    """Check the form of a channel's name."""
    if CHANNEL_NAME.fullmatch(text) is None:
        raise BadInput(f"channel: expected {CHANNEL_NAME_RULE}, got {shown(text)}")
    return text


def example(kind: ChannelKind) -> dict[str, Any]:
    """Return a body that makes a channel of this kind."""
    return {"kind": kind, "settings": dict(KINDS[kind].example), "send_resolved": True}


def read_channel(name: str, body: Any, current: Channel | None = None) -> Draft:
    """Check what came as a channel; a secret that came as answers show it is the one that `current` has.

    Raises:
        BadInput, OutOfRange: with every problem in `problems`; none repeats a secret.
    """
    channel_name(name)
    problems: list[Problem] = []
    fields = Fields(body, None, problems)
    if problems:
        refuse(problems, "channels", 1)
    kind: ChannelKind = fields.choice("kind", CHANNEL_KINDS)
    if problems:
        refuse(problems, "channels", 1)
    send_resolved = fields.boolean("send_resolved")
    severities = _severities(fields)
    given = fields.get("settings")
    reading = _Reading(kind, {} if given is None else given, fields, current)
    settings, secrets, kept = reading.settings()
    refuse(problems, "channels", 1)
    same = current.secrets if current is not None else {}
    channel = Channel(
        name=name,
        kind=kind,
        settings=settings,
        secrets={secret: same[secret] for secret in sorted(kept)},
        send_resolved=send_resolved is not False,
        severities=severities,
    )
    return Draft(channel, secrets, frozenset(kept))


def show(channel: Channel) -> dict[str, Any]:
    """Render a channel for an answer: every secret is shown as "set"."""
    settings = {setting.name: _shown(channel, setting) for setting in KINDS[channel.kind].settings}
    return {
        "name": channel.name,
        "kind": channel.kind,
        "settings": {name: value for name, value in settings.items() if value is not None},
        "send_resolved": channel.send_resolved,
        "severities": list(channel.severities) or list(SEVERITIES),
        "revision": channel.revision,
        "updated_at": format_instant(channel.updated_ns),
        "updated_by": channel.updated_by,
    }


class _Reading:
    """Reads the settings of one body."""

    def __init__(self, kind: ChannelKind, given: Any, fields: Fields, current: Channel | None) -> None:
        self._kind = kind
        self._fields = fields
        self._known = current if current is not None and current.kind == kind else None
        if not isinstance(given, dict):
            fields.wrong("settings", f"expected an object such as {dict(KINDS[kind].example)}, got {shown(given)}")
        self._given: Mapping[str, Any] = given if isinstance(given, dict) else {}
        self._whole = isinstance(given, dict)

    def settings(self) -> tuple[dict[str, Any], dict[str, str], set[str]]:
        """Return what is no secret, the secrets that came, and the names of those that stay."""
        plain: dict[str, Any] = {}
        secrets: dict[str, str] = {}
        kept: set[str] = set()
        if self._whole:
            self._misspelt()
            for setting in KINDS[self._kind].settings:
                self._one(setting, plain, secrets, kept)
            self._together(plain, {*secrets, *kept})
        return plain, secrets, kept

    def _one(self, setting: Setting, plain: dict[str, Any], secrets: dict[str, str], kept: set[str]) -> None:
        name = next((name for name in (setting.name, *setting.aliases) if self._given.get(name) not in (None, "")), "")
        if not name:
            if setting.required:
                self._fields.wrong(f"settings.{setting.name}", f"is missing; {self._kind} needs it: {setting.help}")
            return
        value = self._given[name]
        if self._stays(setting, value):
            kept.add(setting.name)
            if not setting.secret:
                plain[setting.name] = value
            return
        try:
            if setting.secret and value == SET:
                raise values.Wrong(f"expected the secret itself, got {SET!r}, which answers show in its place")
            read = setting.read(value)
        except values.Wrong as wrong:
            self._fields.wrong(f"settings.{name}", str(wrong))
            return
        if setting.secret:
            secrets[setting.name] = read
        elif _hides(self._kind, setting, read):
            secrets[setting.name] = read
            plain[setting.name] = _without_query(read)
        else:
            plain[setting.name] = read

    def _stays(self, setting: Setting, value: Any) -> bool:
        """Whether what came is what an answer showed for a secret that there is."""
        known = self._known
        if known is None or setting.name not in known.secrets:
            return False
        return bool(value == (SET if setting.secret else known.settings.get(setting.name)))

    def _together(self, plain: Mapping[str, Any], secret: set[str]) -> None:
        if self._kind == "webhook" and {"bearer_token", "password"} <= secret:
            self._fields.wrong("settings.bearer_token", "expected a bearer token or a password, got both")
        if self._kind in ("webhook", "email") and ("username" in plain) != ("password" in secret):
            lacks = "password" if "username" in plain else "username"
            self._fields.wrong(f"settings.{lacks}", "is missing; username and password belong together")

    def _misspelt(self) -> None:
        """Refuse a setting that is nearly one of the kind's: ignored, it would leave its default in its place."""
        known = [name for setting in KINDS[self._kind].settings for name in (setting.name, *setting.aliases)]
        for name in self._given:
            near = [] if name in known else difflib.get_close_matches(str(name), known, 1, 0.75)
            if near:
                self._fields.wrong(f"settings.{name}", f"is no setting of {self._kind}, did you mean {near[0]}?")


def _severities(fields: Fields) -> tuple[Any, ...]:
    value = fields.get("severities")
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        got = "an empty one, which nobody would be told by" if value == [] else shown(value)
        fields.wrong("severities", f"expected a list of {', '.join(SEVERITIES)}, got {got}")
        return ()
    for each in value:
        if each not in SEVERITIES:
            near = nearest(each, SEVERITIES) if isinstance(each, str) else ""
            fields.wrong("severities", f"expected {', '.join(SEVERITIES)}, got {shown(each)}{near}")
    found = tuple(severity for severity in SEVERITIES if severity in value)
    return () if len(found) == len(SEVERITIES) else found


def _hides(kind: ChannelKind, setting: Setting, value: Any) -> bool:
    """Whether a setting that is shown holds a secret this time: many services put a key behind the `?` of a webhook."""
    return kind == "webhook" and setting.name == "url" and bool(urlsplit(value).query)


def _without_query(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")) + "?…"


def _shown(channel: Channel, setting: Setting) -> Any:
    if setting.secret:
        return SET if setting.name in channel.secrets else None
    return channel.settings.get(setting.name)
