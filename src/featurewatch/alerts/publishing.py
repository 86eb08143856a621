"""What publishes rules and channels, put together as the settings say: over files, by APIs, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias

from ..alert_model import DEPLOYMENT_STATES
from ..errors import FeaturewatchError
from ..settings import Settings
from ..stores.alert_base import RuleStore
from ..stores.base import StateStore
from ..stores.secret_files import SecretFiles
from ..stores.state_channels import ChannelStore
from ..stores.upstream import Upstream, target_of, targets_of
from .alertmanager import Bridge
from .alertmanager_api import Alertmanager
from .alertmanager_base import read_base
from .alertmanager_files import SECRETS, AlertmanagerFiles
from .channel_publisher import AlertmanagerTarget, ChannelPublisher, ChannelState
from .delivery import MailServer
from .deployments import Deployments
from .mimir_alertmanager import MimirAlertmanager
from .prometheus import Rendering
from .prometheus_files import PrometheusFiles
from .publisher import Publisher
from .rule_check import RuleCheck
from .rule_sources import Translated
from .ruler_api import Ruler
from .ruler_targets import LokiRuler, MimirRuler
from .rulers import RuleTarget
from .tools import Tool
from .webhook_token import NAME, WebhookToken

__all__ = ["Publishing", "mail_server", "secret_files", "webhook_token"]

Labelled: TypeAlias = Mapping[tuple[tuple[str, str], ...], float]
Told: TypeAlias = tuple[str, Literal["counter", "gauge"], str, Labelled]
"""Name, kind, help, and the value by labels of a family, for /metrics."""

_LINES: Final = "lines"

_SHOWN: Final[tuple[tuple[str, Literal["counter", "gauge"], str], ...]] = (
    ("publications", "counter", "Publications of rules."),
    ("failures", "counter", "Publications that failed, or were not proven at once."),
    ("repairs", "counter", "Times that what others changed was put right."),
    ("refused", "gauge", "Rules that are not live as they were edited."),
    ("rules", "gauge", "Rules that are to be live."),
    ("waiting", "gauge", "1 while what was published is not proven."),
    ("last_seconds", "gauge", "How long the last publication took."),
)


def secret_files(settings: Settings) -> SecretFiles:
    """Return where channels' secrets are kept."""
    return SecretFiles((settings.secrets_dir or settings.data_dir / "secrets").absolute())


def webhook_token(settings: Settings) -> WebhookToken:
    """Return the token that webhooks must show."""
    return WebhookToken(settings.webhook_token_file, secret_files(settings).folder)


def mail_server(settings: Settings) -> MailServer:
    """Read how mail is sent from the operator's own configuration, if it says so. Touches the disk."""
    path = settings.alertmanager_base_config
    if path is None:
        return MailServer()
    try:
        base = read_base(path.read_text(encoding="utf-8"), path.absolute().parent, str(path))
        file = base.option("smtp_auth_password_file")
        password = Path(file).read_text(encoding="utf-8").strip() if file else base.option("smtp_auth_password")
    except (OSError, UnicodeDecodeError, FeaturewatchError):
        return MailServer()
    return MailServer(
        base.option("smtp_smarthost"),
        base.option("smtp_from"),
        base.option("smtp_auth_username"),
        password,
        base.option("smtp_require_tls").lower() not in ("false", "no", "off"),
    )


class Publishing:
    """Everything that publishes. Made in the event loop that runs it.

    Args:
        clock: nanoseconds since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        rules: RuleStore,
        state: StateStore,
        channels: ChannelStore,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.channels = _channels(settings, channels)
        self.publishers: dict[str, Publisher] = {}
        self._running = AsyncExitStack()
        rendering = Rendering(
            settings.uptime_threshold,
            default_environment=settings.environment,
            console_url=settings.public_url,
            recorded=settings.prometheus_recorded == "on",
        )
        for kind, target in _rulers(settings).items():
            source = Translated(rules, state, "logs" if kind == _LINES else "metric", rendering=lambda: rendering)
            routes = None if self.channels is None else partial(self.channels.ensure, kind)
            self.publishers[kind] = Publisher(source, target, Deployments(rules, clock=clock), routes=routes)

    async def start(self) -> None:
        """Take possession of all that is written, and publish in the background.

        Raises:
            StoreLocked: another bridge has it. Unavailable, SettingsError: it cannot be used; nothing was started.
        """
        async with AsyncExitStack() as started:
            for each in (self.channels, *self.publishers.values()):
                if each is not None:
                    await each.start()
                    started.push_async_callback(each.stop)
            self._running = started.pop_all()

    async def stop(self) -> None:
        """Stop, the rules first. Harmless when repeated."""
        await self._running.aclose()

    @property
    def evaluates(self) -> frozenset[str]:
        """Which rules somebody else evaluates: `figures`, `lines`; the bridge has to evaluate the others itself."""
        return frozenset(self.publishers)

    def rules_changed(self) -> None:
        for publisher in self.publishers.values():
            publisher.nudge()

    def channels_changed(self) -> None:
        if self.channels is not None:
            self.channels.nudge()

    def channel_state(self, name: str) -> ChannelState | None:
        """Tell how a channel does at Alertmanager; None where there is none that is told of channels."""
        return None if self.channels is None else self.channels.state(name)

    @property
    def problems(self) -> dict[str, str]:
        """Say what is not published as it should be: `figures`, `lines`, `channels`, each with the reason."""
        found = {kind: publisher.problem for kind, publisher in self.publishers.items() if publisher.problem}
        if self.channels is not None and self.channels.problem:
            found["channels"] = self.channels.problem
        return found

    def readings(self) -> Iterator[Told]:
        """Yield what is counted, for /metrics."""
        stats = {(("rules", kind),): publisher.stats for kind, publisher in self.publishers.items()}
        for field, kind, help_ in _SHOWN if stats else ():
            values: Labelled = {labels: float(getattr(each, field)) for labels, each in stats.items()}
            suffix = "_total" if kind == "counter" else ""
            yield f"featurewatch_publisher_{field}{suffix}", kind, help_, values
        states: Labelled = {
            (("rules", kind), ("state", state)): float(publisher.deployments.get(state, 0))
            for kind, publisher in self.publishers.items()
            for state in DEPLOYMENT_STATES
        }
        if states:
            yield "featurewatch_publisher_deployments", "gauge", "Rules by how far they have come.", states
        if self.channels is not None:
            name, channels = "featurewatch_channels", self.channels
            yield f"{name}_publications_total", "counter", "Publications of channels.", {(): channels.publications}
            yield f"{name}_failures_total", "counter", "Those that failed, or are not proven.", {(): channels.failures}
            yield f"{name}_repairs_total", "counter", "Times that the file was put right.", {(): channels.repairs}


def _rulers(settings: Settings) -> dict[str, RuleTarget]:
    """Make the targets of rules, by which rules they evaluate."""
    targets: dict[str, RuleTarget] = {}
    if settings.mimir_url:
        targets["figures"] = MimirRuler(Upstream(target_of(settings, "mimir")))
    elif settings.prometheus_rules_dir is not None:
        servers = targets_of(settings, "prometheus_ruler_urls") or (target_of(settings, "prometheus"),)
        targets["figures"] = PrometheusFiles(
            settings.prometheus_rules_dir,
            [Ruler(Upstream(server)) for server in servers],
            RuleCheck(Tool(settings.promtool, "PROMTOOL")),
        )
    if settings.loki_ruler:
        targets[_LINES] = LokiRuler(Upstream(target_of(settings, "loki")))
    return targets


def _channels(settings: Settings, channels: ChannelStore) -> ChannelPublisher | None:
    """Make what publishes channels; None where no Alertmanager is configured by us."""
    path = settings.alertmanager_config
    if path is None and not settings.mimir_url:
        return None
    token = webhook_token(settings)
    text = token.ensure()
    kept = secret_files(settings)
    target: AlertmanagerTarget
    if path is None:
        target = MimirAlertmanager(
            Upstream(target_of(settings, "mimir")),
            settings.data_dir.absolute() / "mimir-alertmanager.before-featurewatch.yml",
        )
        folder, bridge = "", Bridge(settings.webhook_address, token=text)
    else:
        servers = targets_of(settings, "alertmanager_urls")
        target = AlertmanagerFiles(
            path, [Alertmanager(Upstream(server)) for server in servers], Tool(settings.amtool, "AMTOOL")
        )
        folder = str(settings.alertmanager_secrets_dir or path.absolute().parent / SECRETS)
        if token.own:
            bridge = Bridge(settings.webhook_address, f"{folder}/{NAME}", text, NAME)
        else:
            seen = settings.alertmanager_webhook_token_file or token.path.absolute()
            bridge = Bridge(settings.webhook_address, str(seen))
    return ChannelPublisher(
        channels, kept, target, base=settings.alertmanager_base_config, bridge=bridge, secrets_folder=folder
    )
