"""Checks of the settings that name hosts, origins and networks; each raises ValueError with what was expected."""

from __future__ import annotations

from ipaddress import ip_network
from urllib.parse import urlsplit

__all__ = ["hosts", "networks", "origins"]


def origins(value: tuple[str, ...]) -> tuple[str, ...]:
    """Bring origins into the form in which browsers write them; they are then compared as text."""
    normal = []
    for text in value:
        try:
            parts = urlsplit(text.strip().lower())
            port = parts.port
        except ValueError:
            port, parts = None, urlsplit("")
        if not (parts.scheme and parts.hostname) or "*" in text or parts.username is not None or parts.path.strip("/"):
            raise ValueError("expected origins such as https://app.example.com (no *, no path), separated by commas")
        default = {"http": 80, "https": 443}.get(parts.scheme)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        normal.append(f"{parts.scheme}://{host}" + ("" if port in (None, default) else f":{port}"))
    return tuple(dict.fromkeys(normal))


def networks(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check addresses and networks."""
    for text in value:
        try:
            ip_network(text)
        except ValueError:
            raise ValueError("expected addresses or networks such as 127.0.0.1 or 10.0.0.0/8") from None
    return value


def hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check host names: a URL would match none."""
    if any("/" in text or "@" in text for text in value):
        raise ValueError("expected host names such as watch.example.com, separated by commas, not URLs")
    return value
