"""A channel as a receiver of Alertmanager: what each kind becomes, and who tells it where Alertmanager cannot. Pure.

https://prometheus.io/docs/alerting/latest/configuration/#receiver-integration-settings
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from ..alert_model import Channel
from .notifications import OPSGENIE_PRIORITIES, PAGERDUTY_SEVERITIES

__all__ = ["Abilities", "Integration", "Unfit", "integration_of"]

TITLE: Final = (
    "[{{ .Status }}{{ if gt (len .Alerts.Firing) 1 }}: {{ len .Alerts.Firing }}{{ end }}] "
    "{{ with index .Alerts 0 }}{{ .Annotations.title }}{{ end }}"
    " ({{ .GroupLabels.feature }} {{ .GroupLabels.environment }})"
)
TEXT: Final = (
    "{{ range .Alerts }}{{ .Annotations.title }} "
    '({{ if eq .Status "firing" }}{{ .Labels.severity }}{{ else }}resolved{{ end }}): '
    '{{ .Annotations.message }}{{ "\\n" }}{{ end }}'
)
LINK: Final = "{{ with index .Alerts 0 }}{{ .Annotations.link }}{{ end }}"


class Unfit(ValueError):
    """A channel can be told neither by this Alertmanager nor by the bridge; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What an Alertmanager understands, by its version.

    Attributes:
        files: whether it can read secrets from files; Mimir's cannot.
    """

    major: int = 0
    minor: int = 25
    files: bool = True

    @classmethod
    def of(cls, version: str) -> Abilities:
        """Read a version such as 0.27.0; one that cannot be read counts as 0.25, whose words all later ones know."""
        parts = version.strip().lstrip("v").split(".")
        try:
            return cls(int(parts[0]), int(parts[1]))
        except (ValueError, IndexError):
            return cls()

    def since(self, minor: int) -> bool:
        """Whether it is version 0.`minor` or later."""
        return (self.major, self.minor) >= (0, minor)


class Integration(NamedTuple):
    """An entry of a receiver: below which key, what, and whether the bridge is told in the channel's place."""

    key: str
    config: Mapping[str, Any]
    bridged: bool = False


Secret = Callable[[str, str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Secrets:
    """How secrets stand in a configuration.

    Attributes:
        folder: of the files, as Alertmanager sees it.
        texts: the secrets by file, where they have to stand in the configuration itself.
    """

    folder: str
    texts: Mapping[str, str] = field(repr=False)

    def option(self, channel: Channel, setting: str, name: str, *, file: bool) -> dict[str, str]:
        """Write a secret as an option: `name`_file where `file`, else itself."""
        kept = channel.secrets[setting]
        return {f"{name}_file": f"{self.folder}/{kept}"} if file else {name: self.texts[kept]}


def integration_of(
    channel: Channel,
    abilities: Abilities,
    secrets: Secrets,
    bridge: Mapping[str, Any] | None,
    http_config: Mapping[str, Any],
    *,
    mail_is_set: bool,
) -> Integration:
    """Render a channel for an Alertmanager.

    Args:
        bridge: the webhook_config that lets the bridge tell the channel, None where the bridge cannot be told itself.
        http_config: how the outside is reached, for what has an http_config of its own.
        mail_is_set: whether the global section says how mail is sent.

    Raises:
        Unfit: nobody can tell it.
    """
    files = abilities.files
    resolved = {"send_resolved": channel.send_resolved}
    settings = channel.settings

    def bridged(lacks: str) -> Integration:
        if bridge is None:
            raise Unfit(f"{lacks}, and the bridge cannot be told in its place: set FEATUREWATCH_WEBHOOK_URL")
        return Integration("webhook_configs", {**bridge, **resolved}, bridged=True)

    match channel.kind:
        case "webhook":
            return Integration("webhook_configs", {**_webhook(channel, abilities, secrets, http_config), **resolved})
        case "email":
            if not mail_is_set and not ("smarthost" in settings and "from" in settings):
                missing = "smarthost" if "smarthost" not in settings else "from"
                raise Unfit(
                    f"settings.{missing} is missing, and so is global.smtp_{missing} of "
                    "FEATUREWATCH_ALERTMANAGER_BASE_CONFIG"
                )
            return Integration("email_configs", {**_email(channel, secrets, files=files), **resolved})
        case "slack":
            named = {name: settings[name] for name in ("channel", "username") if name in settings}
            url = secrets.option(channel, "webhook_url", "api_url", file=files)
            said = {"title": TITLE, "title_link": LINK, "text": TEXT, "fallback": TITLE}
            return Integration("slack_configs", {**url, **named, **said, **resolved})
        case "pagerduty":
            url = {"url": settings["url"]} if "url" in settings else {}
            key = secrets.option(channel, "routing_key", "routing_key", file=files)
            said = {"description": TITLE, "severity": _mapped(PAGERDUTY_SEVERITIES, "error"), "client": "featurewatch"}
            return Integration("pagerduty_configs", {**key, **url, **said, **resolved})
        case "opsgenie":
            url = {"api_url": settings["url"]} if "url" in settings else {}
            key = secrets.option(channel, "api_key", "api_key", file=files)
            team = {"responders": [{"name": settings["team"], "type": "team"}]} if "team" in settings else {}
            said = {"message": TITLE, "description": TEXT, "priority": _mapped(OPSGENIE_PRIORITIES, "P3")}
            return Integration("opsgenie_configs", {**key, **url, **team, **said, "source": "featurewatch", **resolved})
        case "msteams":
            return _teams(channel, abilities, secrets, bridged)
        case "discord":
            if bridge is not None and files and not abilities.since(28):
                return bridged("Alertmanager before 0.28 reads no Discord webhook from a file")
            url = secrets.option(channel, "webhook_url", "webhook_url", file=files and abilities.since(28))
            return Integration("discord_configs", {**url, "title": TITLE, "message": TEXT, **resolved})
        case "telegram":
            if bridge is not None and files and not abilities.since(26):
                return bridged("Alertmanager before 0.26 reads no bot token from a file")
            token = secrets.option(channel, "bot_token", "bot_token", file=files and abilities.since(26))
            url = {"api_url": settings["url"]} if "url" in settings else {}
            said = {"chat_id": settings["chat_id"], "parse_mode": "", "message": f"{TITLE}\n\n{TEXT}"}
            return Integration("telegram_configs", {**token, **url, **said, **resolved})
        case "apprise":
            return bridged("Alertmanager knows nothing of apprise")


def _webhook(
    channel: Channel, abilities: Abilities, secrets: Secrets, http_config: Mapping[str, Any]
) -> dict[str, Any]:
    if "url" not in channel.secrets:
        config: dict[str, Any] = {"url": channel.settings["url"]}
    else:
        config = dict(secrets.option(channel, "url", "url", file=abilities.files and abilities.since(28)))
    if "bearer_token" in channel.secrets:
        shown = secrets.option(channel, "bearer_token", "credentials", file=abilities.files)
        config["http_config"] = {**http_config, "authorization": shown}
    elif "password" in channel.secrets:
        shown = secrets.option(channel, "password", "password", file=abilities.files)
        config["http_config"] = {**http_config, "basic_auth": {"username": channel.settings["username"], **shown}}
    return config


def _email(channel: Channel, secrets: Secrets, *, files: bool) -> dict[str, Any]:
    settings = channel.settings
    config: dict[str, Any] = {"to": settings["to"], "headers": {"Subject": TITLE}, "text": TEXT}
    names = {"from": "from", "smarthost": "smarthost", "username": "auth_username", "require_tls": "require_tls"}
    config |= {option: settings[name] for name, option in names.items() if name in settings}
    if "password" in channel.secrets:
        config |= secrets.option(channel, "password", "auth_password", file=files)
    return config


def _teams(
    channel: Channel, abilities: Abilities, secrets: Secrets, bridged: Callable[[str], Integration]
) -> Integration:
    """Teams' connectors (webhook.office.com) and its workflows want different messages; each has its own word."""
    kept = channel.secrets["webhook_url"]
    text = secrets.texts.get(kept, "")
    connector = (urlsplit(text).hostname or "").endswith("webhook.office.com")
    if not abilities.since(28):
        return bridged("Alertmanager before 0.28 has no Teams that reads its webhook from a file")
    url = secrets.option(channel, "webhook_url", "webhook_url", file=abilities.files)
    key = "msteams_configs" if connector else "msteamsv2_configs"
    return Integration(key, {**url, "title": TITLE, "text": TEXT, "send_resolved": channel.send_resolved})


def _mapped(words: Mapping[str, str], default: str) -> str:
    """Write a template that says a severity of ours in the words of a provider."""
    first, *rest = words.items()
    cases = f'{{{{ if eq .CommonLabels.severity "{first[0]}" }}}}{first[1]}'
    cases += "".join(f'{{{{ else if eq .CommonLabels.severity "{ours}" }}}}{theirs}' for ours, theirs in rest)
    return f"{cases}{{{{ else }}}}{default}{{{{ end }}}}"
