"""The settings of alerting: where rules and channels are published, and who is asked about it."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator

__all__ = ["DURATIONS", "LISTS", "Alerting", "http_url", "lacking"]

DURATIONS: Final = (
    "alertmanager_timeout",
    "mimir_timeout",
    "alert_poll_interval",
    "alert_retention",
    "evaluation_interval",
)
LISTS: Final = ("prometheus_ruler_urls", "alertmanager_urls")


def http_url(url: str, *, query: bool = False) -> str:
    """Check a server's address and return it without a slash at its end; "" is none.

    Args:
        query: whether it may have a query and a fragment; paths are put after one that may not.

    Raises:
        ValueError: it is no address.
    """
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        whole = bool(parts.hostname) and (parts.port or 1) > 0  # a port that is none raises here
    except ValueError:
        whole = False
    if not (whole and url.startswith(("http://", "https://")) and "".join(url.split()) == url):
        raise ValueError("expected a URL that starts with http:// or https://, with a host and perhaps a port")
    if not query and ("?" in url or "#" in url):
        raise ValueError("expected a URL without ? and #, which paths are put after")
    return url.rstrip("/")


class Alerting(BaseModel):
    """Part of `settings.Settings`."""

    prometheus_ruler_urls: tuple[str, ...] = Field(
        (), description="Every Prometheus that evaluates the rules: reloaded and looked at; empty: PROMETHEUS_URL."
    )
    prometheus_rules_dir: Path | None = Field(
        None, description="Folder for rule files, kept by the bridge alone; name `DIR/*.yml` in rule_files."
    )
    promtool: str = Field("promtool", description="Program that checks rule files; absent: a check of our own.")
    alertmanager_urls: tuple[str, ...] = Field((), description="Every Alertmanager of the cluster.")
    alertmanager_tenant: str = Field("", description="Tenant (X-Scope-OrgID) at Alertmanager.")
    alertmanager_user: str = Field("", description="User of basic authentication at Alertmanager.")
    alertmanager_password_file: Path | None = Field(
        None, description="File that holds the password of ALERTMANAGER_USER."
    )
    alertmanager_token_file: Path | None = Field(None, description="File that holds a bearer token for Alertmanager.")
    alertmanager_ca_file: Path | None = Field(
        None, description="Certificate authorities (PEM) that vouch for Alertmanager."
    )
    alertmanager_tls_verify: bool = Field(True, description="0: Alertmanager's certificate is not checked.")
    alertmanager_timeout: float = Field(10.0, gt=0, le=300, description="How long an answer of Alertmanager may take.")
    alert_poll_interval: float = Field(
        10.0, ge=1, le=300, description="How often Alertmanager is asked what fires, besides its webhooks."
    )
    evaluation_interval: float = Field(
        15.0, ge=1, le=300, description="How often the bridge evaluates the rules that no other system is given."
    )
    alert_retention: float = Field(
        400 * 86_400.0, ge=86_400, description="How long alerts that ended and maintenance windows are kept."
    )
    alertmanager_config: Path | None = Field(
        None, description="The file that is written for Alertmanager: what its --config.file names."
    )
    alertmanager_base_config: Path | None = Field(
        None, description="Your own configuration, only read: ALERTMANAGER_CONFIG becomes it and our routes."
    )
    amtool: str = Field("amtool", description="Program that checks that file; absent: a check of our own.")
    webhook_url: str = Field(
        "",
        description="Full address of POST /webhooks/alertmanager as Alertmanager reaches it; needed unless it runs on "
        "this machine.",
    )
    webhook_token_file: Path | None = Field(
        None, description="File with the bearer token that webhooks must show; without it one is made."
    )
    alertmanager_webhook_token_file: Path | None = Field(
        None, description="Path of WEBHOOK_TOKEN_FILE as Alertmanager sees it, where that is another."
    )
    loki_ruler: bool = Field(
        False, description="1: Loki's ruler evaluates rules on lines (its API must be on), in place of the bridge."
    )
    secrets_dir: Path | None = Field(
        None, description="Folder for the secrets of channels, a file each, mode 0600; default: DATA_DIR/secrets."
    )
    alertmanager_secrets_dir: Path | None = Field(
        None,
        description="Path of the folder featurewatch-secrets beside ALERTMANAGER_CONFIG as Alertmanager sees it, where "
        "that is another.",
    )
    mimir_url: str = Field(
        "", description="Mimir: its ruler takes the rules and its Alertmanager the channels, in place of files."
    )
    mimir_tenant: str = Field("", description="Tenant (X-Scope-OrgID) at Mimir.")
    mimir_user: str = Field("", description="User of basic authentication at Mimir.")
    mimir_password_file: Path | None = Field(None, description="File that holds the password of MIMIR_USER.")
    mimir_token_file: Path | None = Field(None, description="File that holds a bearer token for Mimir.")
    mimir_ca_file: Path | None = Field(None, description="Certificate authorities (PEM) that vouch for Mimir.")
    mimir_tls_verify: bool = Field(True, description="0: Mimir's certificate is not checked.")
    mimir_timeout: float = Field(10.0, gt=0, le=300, description="How long an answer of Mimir may take.")

    @field_validator("webhook_url")
    @classmethod
    def _webhook(cls, value: str) -> str:
        return http_url(value, query=True)

    @field_validator("mimir_url")
    @classmethod
    def _server_of_mimir(cls, value: str) -> str:
        return http_url(value)

    @field_validator(*LISTS)
    @classmethod
    def _urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(http_url, value)))

    @model_validator(mode="after")
    def _belong_together(self) -> Alerting:
        for problem in _misfits(self):
            raise ValueError(problem)
        return self


def lacking(given: Alerting, prometheus_url: str, loki_url: str, webhook: str, address: str) -> str:
    """Say which setting is missing for what is to be published, "" where none is.

    Args:
        webhook: where Alertmanager reaches this bridge, "" where that is not known.
        address: the port and prefix of the API, for an example.
    """
    if given.prometheus_rules_dir is not None and not (given.prometheus_ruler_urls or prometheus_url):
        return (
            "FEATUREWATCH_PROMETHEUS_RULES_DIR is set without FEATUREWATCH_PROMETHEUS_RULER_URLS or "
            "FEATUREWATCH_PROMETHEUS_URL: say who reads the folder, so that it is told to reload"
        )
    if given.loki_ruler and not loki_url:
        return "FEATUREWATCH_LOKI_RULER is set without FEATUREWATCH_LOKI_URL: say where Loki is"
    if (given.alertmanager_config is not None or given.mimir_url) and not webhook:
        return (
            "FEATUREWATCH_WEBHOOK_URL is missing: expected the address of this bridge as Alertmanager reaches it, such "
            f"as http://bridge:{address}/webhooks/alertmanager"
        )
    return ""


def _misfits(given: Alerting) -> list[str]:
    """Say which settings need another one, or exclude each other."""
    found = []
    if given.alertmanager_config is not None and not given.alertmanager_urls:
        found.append(
            "FEATUREWATCH_ALERTMANAGER_CONFIG is set without FEATUREWATCH_ALERTMANAGER_URLS: say who reads the file, "
            "so that it is told to reload"
        )
    if given.alertmanager_base_config is not None and given.alertmanager_config is None and not given.mimir_url:
        found.append(
            "FEATUREWATCH_ALERTMANAGER_BASE_CONFIG is set without FEATUREWATCH_ALERTMANAGER_CONFIG: name the file to "
            "be written, and let Alertmanager's --config.file name it too"
        )
    if (
        given.alertmanager_config is not None
        and given.alertmanager_base_config is not None
        and given.alertmanager_config.absolute() == given.alertmanager_base_config.absolute()
    ):
        found.append(
            "FEATUREWATCH_ALERTMANAGER_CONFIG and FEATUREWATCH_ALERTMANAGER_BASE_CONFIG name one file: yours is only "
            "read, so name another to be written"
        )
    if given.alertmanager_webhook_token_file is not None and given.webhook_token_file is None:
        found.append(
            "FEATUREWATCH_ALERTMANAGER_WEBHOOK_TOKEN_FILE is set without FEATUREWATCH_WEBHOOK_TOKEN_FILE: name the "
            "file as the bridge sees it too"
        )
    if given.mimir_url and given.prometheus_rules_dir is not None:
        found.append(
            "FEATUREWATCH_MIMIR_URL and FEATUREWATCH_PROMETHEUS_RULES_DIR are both set: rules go to one of them, or "
            "each alert comes twice"
        )
    return found
