"""This machine: settings, folders, files of secrets, room on the disk. Touches the disk, so not for the event loop."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ..errors import SettingsError
from ..settings import PREFIX, Settings, unknown_names
from ..stores.upstream import target_of
from ..tokens import load
from .findings import Finding, broken, doubtful, fine, left_out

__all__ = ["examine_local"]

_ROOM: Final = 1024**3
_BAD_ROOM: Final = 100 * 1024**2
_CREDENTIALS: Final = ("prometheus", "loki", "alertmanager", "mimir", "otlp_forward")


def examine_local(settings: Settings, environ: Mapping[str, str], now_ns: int) -> list[Finding]:
    """Check what can be seen from here without asking anybody."""
    return [
        *_settings(settings, environ),
        *_data(settings),
        *_tokens(settings, now_ns),
        *_webhook_token(settings),
        *_credentials(settings),
        *_tools(settings),
    ]


def _settings(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    check, before = "settings", True
    for sentence in unknown_names(environ):
        before = False
        yield doubtful(check, "environment", sentence, "correct its name, or remove it: nothing reads it")
    for found, todo in _contradictions(settings):
        before = False
        yield doubtful(check, "settings", found, todo)
    if before:
        yield fine(check, "settings", "fit together")


def _contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Say what is set without what it needs; what cannot work at all is refused before."""
    told = bool(settings.alertmanager_urls or settings.mimir_url)
    if settings.prometheus_rules_dir is not None and not told:
        yield (
            "PROMETHEUS_RULES_DIR gives the rules to Prometheus, and no ALERTMANAGER_URLS says who hears of its alerts",
            f"set {PREFIX}ALERTMANAGER_URLS, or unset {PREFIX}PROMETHEUS_RULES_DIR: then the bridge evaluates them",
        )
    if settings.alertmanager_urls and settings.alertmanager_config is None and not settings.webhook_address:
        yield (
            "ALERTMANAGER_URLS is set, and neither ALERTMANAGER_CONFIG nor WEBHOOK_URL: channels reach nobody",
            f"set {PREFIX}ALERTMANAGER_CONFIG to the file that the bridge is to write for it",
        )
    if settings.otlp_forward_url and not settings.prometheus_url:
        yield (
            "OTLP_FORWARD_URL is set without PROMETHEUS_URL: pushed metrics are kept here, and nothing is passed on",
            f"set {PREFIX}PROMETHEUS_URL too, or unset {PREFIX}OTLP_FORWARD_URL",
        )
    if settings.loki_tenant and not settings.loki_url:
        yield "LOKI_TENANT is set without LOKI_URL", f"set {PREFIX}LOKI_URL, or unset {PREFIX}LOKI_TENANT"
    if settings.prometheus_recorded == "on" and not settings.prometheus_url:
        yield (
            "PROMETHEUS_RECORDED is on without PROMETHEUS_URL",
            f"set {PREFIX}PROMETHEUS_URL, or unset {PREFIX}PROMETHEUS_RECORDED",
        )
    for name in ("prometheus", "loki", "alertmanager", "mimir"):
        insecure = not getattr(settings, f"{name}_tls_verify")
        if insecure:
            yield (
                f"{name.upper()}_TLS_VERIFY is off: anybody on the way can pose as it",
                f"set {PREFIX}{name.upper()}_CA_FILE to the authority that signed its certificate, and verify it again",
            )


def _data(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir.absolute()
    subject = f"DATA_DIR {folder}"
    if not folder.exists():
        yield left_out("data-dir", subject, "it does not exist yet: no bridge has run with it here")
        return
    if not folder.is_dir():
        yield broken("data-dir", subject, "it is no folder", f"set {PREFIX}DATA_DIR to a folder")
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield broken(
            "data-dir",
            subject,
            "this user cannot write it",
            f"chown it to the bridge's user (and run this as that user), or set {PREFIX}DATA_DIR to another",
        )
    elif folder.stat().st_mode & stat.S_IWOTH:
        yield broken("data-dir", subject, "every user of this machine can write it", f"chmod o-w {folder}")
    else:
        yield fine("data-dir", subject, "can be written")
    yield _room(folder, settings)


def _room(folder: Path, settings: Settings) -> Finding:
    usage = shutil.disk_usage(folder)
    found = f"{_size(usage.free)} of {_size(usage.total)} are free"
    todo = f"free some space, or lower {PREFIX}LOG_MAX_BYTES and {PREFIX}LOG_RETENTION"
    subject = f"disk of {folder}"
    if usage.free < _BAD_ROOM:
        return broken("disk", subject, found, todo)
    return doubtful("disk", subject, found, todo) if usage.free < _ROOM else fine("disk", subject, found)


def _tokens(settings: Settings, now_ns: int) -> Iterator[Finding]:
    path = settings.api_tokens_file
    if path is None:
        return
    subject = f"API_TOKENS_FILE {path}"
    try:
        tokens = load(path)
    except SettingsError as error:
        yield broken(
            "token-file",
            subject,
            error.message,
            f"put the file right, or make one: 'featurewatch token create --role admin --file {path}'",
        )
        return
    valid = [token for token in tokens.values() if not token.over(now_ns)]
    if not any(token.role == "admin" for token in valid) and not settings.jwt:
        yield doubtful(
            "token-file",
            subject,
            f"none of its {len(valid)} valid tokens is of role admin",
            f"featurewatch token create --role admin --file {path}",
        )
    elif path.stat().st_mode & stat.S_IWOTH:
        yield broken("token-file", subject, "every user of this machine can add tokens to it", f"chmod 600 {path}")
    else:
        yield fine("token-file", subject, f"{len(valid)} valid tokens")


def _webhook_token(settings: Settings) -> Iterator[Finding]:
    path = settings.webhook_token_file
    if path is not None:
        yield _secret("webhook-token", f"WEBHOOK_TOKEN_FILE {path}", path)


def _credentials(settings: Settings) -> Iterator[Finding]:
    for name in _CREDENTIALS:
        urls = "alertmanager_urls" if name == "alertmanager" else f"{name}_url"
        if not getattr(settings, urls):
            continue
        target = target_of(settings, name) if name != "alertmanager" else None
        for field in ("password_file", "token_file"):
            path = getattr(settings, f"{name}_{field}")
            if path is not None:
                yield _secret("secret-file", f"{name.upper()}_{field.upper()} {path}", path)
        if target is not None and target.ca_file is not None and not target.ca_file.exists():
            yield broken(
                "secret-file",
                f"{name.upper()}_CA_FILE {target.ca_file}",
                "it does not exist",
                f"set {PREFIX}{name.upper()}_CA_FILE to a file of certificates in PEM form",
            )


def _secret(check: str, subject: str, path: Path) -> Finding:
    try:
        empty, mode = not path.read_text(encoding="utf-8").strip(), path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        return broken(check, subject, f"it cannot be read ({reason})", "make it readable for the bridge's user")
    if empty:
        return broken(check, subject, "it is empty", "write the secret into it")
    if mode & stat.S_IROTH:
        return doubtful(check, subject, "every user of this machine can read it", f"chmod o-rwx {path}")
    return fine(check, subject, "readable")


def _tools(settings: Settings) -> Iterator[Finding]:
    for wanted, name, package in (
        (settings.prometheus_rules_dir, "promtool", "prometheus"),
        (settings.alertmanager_config, "amtool", "prometheus-alertmanager"),
    ):
        if wanted is None:
            continue
        program = str(getattr(settings, name))
        if shutil.which(program) is None:
            yield doubtful(
                "tools",
                name,
                f"{program} is not installed: what is published is checked less thoroughly before it is loaded",
                f"install it (Debian: {package}), or set {PREFIX}{name.upper()} to where it is",
            )
        else:
            yield fine("tools", name, "installed")


def _size(count: int) -> str:
    return f"{count / 1024**3:.1f} GiB" if count >= 1024**3 else f"{count / 1024**2:.0f} MiB"
