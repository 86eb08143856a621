"""Whether a Host and an Origin are ours: what keeps pages of other sites out of a bridge on loopback. Pure.

A page of any site can make its visitor's browser send requests to 127.0.0.1: its Origin gives it away. It can also
give its own name the address 127.0.0.1 (DNS rebinding), and then counts as same-origin: its Host gives it away.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from ..settings import Settings

__all__ = ["host_allowed", "origin_allowed"]

_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/@\[\]]+)(?::([0-9]{1,5}))?")
_PORTS: Final = {"http": 80, "https": 443}


class _Place(NamedTuple):
    name: str
    port: int | None


def host_allowed(host_header: str | None, settings: Settings) -> bool:
    """Tell whether a request may name this host: loopback, an IP address, HOST, that of WEBHOOK_URL, or an allowed one.

    An IP address is no name that another could point at this machine: a page that was loaded from it came from
    here. ALLOWED_HOSTS takes `*.example.com` for all names below example.com. The port does not matter: proxies
    and containers change it. A missing or malformed Host is refused.
    """
    place = _place(host_header)
    if place is None:
        return False
    name = place.name
    if name == "localhost" or name.endswith(".localhost") or _is_address(name) or name == _bare(settings.host):
        return True
    if settings.webhook_url and name == _bare(urlsplit(settings.webhook_url).netloc):
        return True
    return any(_covers(_bare(allowed), name) for allowed in settings.allowed_hosts)


def origin_allowed(origin: str | None, host_header: str | None, settings: Settings) -> bool:
    """Tell whether a page of this Origin may call: the one that the Host names, or one of ALLOWED_ORIGINS.

    No Origin means no browser page of another site: programs send none. `null` (a sandboxed frame, a local file)
    could be anyone and is refused. The scheme of the own origin is not compared: behind a proxy that ends TLS the
    bridge cannot know it.
    """
    if origin is None:
        return True
    normal = _normal(origin)
    if normal is None:
        return False
    scheme, place = normal
    host = _place(host_header)
    if host is not None and _PORTS.get(scheme) is not None:
        default = _PORTS[scheme]
        if (host.name, host.port or default) == (place.name, place.port or default):
            return True
    return any(_normal(allowed) == normal for allowed in settings.allowed_origins)


def _normal(origin: str) -> tuple[str, _Place] | None:
    try:
        parts = urlsplit(origin.strip().lower())
    except ValueError:
        return None
    place = _place(parts.netloc)
    if not parts.scheme or place is None or parts.path not in ("", "/") or parts.query or parts.fragment:
        return None
    default = _PORTS.get(parts.scheme)
    return parts.scheme, _Place(place.name, None if place.port == default else place.port)


def _place(header: str | None) -> _Place | None:
    match = _HOST.fullmatch((header or "").strip().lower())
    if match is None:
        return None
    name, port = match.groups()
    if port is not None and int(port) > 65_535:
        return None
    return _Place(_canonical(name), None if port is None else int(port))


def _bare(name: str) -> str:
    if name.count(":") > 1 and not name.startswith("["):
        return _canonical(name.lower())
    place = _place(name)
    return place.name if place else name.lower()


def _canonical(name: str) -> str:
    bare = name.strip("[]").removesuffix(".")
    try:
        return str(ip_address(bare))
    except ValueError:
        return bare


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _covers(allowed: str, name: str) -> bool:
    return name.endswith(allowed[1:]) if allowed.startswith("*.") else allowed in (name, "*")
