"""Whose certificates are trusted: the settings `tls_ca_file` and `tls_verify`, for each of the HTTP clients in use.

And what a session of requests says of who comes, where OpenTelemetry's exporter would say more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError
from .config import Config

if TYPE_CHECKING:
    import ssl

    import requests


def for_httpx(config: Config, *, ca_file: str = "", client: tuple[str, str] = ("", "")) -> bool | ssl.SSLContext:
    """Return httpx's `verify`.

    Args:
        ca_file: OpenTelemetry's, trusted where tls_ca_file says nothing; empty: the system's authorities.
        client: files with a certificate and its key (empty: in the same file) to show to a server that asks.

    Raises:
        SettingsError: a file cannot be read, or is not what it should be.
    """
    if not (config.tls_ca_file or ca_file or client[0]):
        return config.tls_verify
    context = _trusting(config.tls_ca_file or ca_file, "tls_ca_file" if config.tls_ca_file else _OTEL + "CERTIFICATE")
    if not config.tls_verify:
        import ssl

        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client[0]:
        try:
            context.load_cert_chain(client[0], client[1] or None)
        except OSError as error:  # ssl's errors are of this kind
            raise _unusable(f"{_OTEL}CLIENT_CERTIFICATE", client[0], error) from None
    return context


def session(config: Config, headers: Mapping[str, str]) -> requests.Session:
    """Make a session that trusts what the settings say, whatever else a request to it asks for.

    Its requests carry these headers and those of their content, and no others: neither what a .netrc says of the host,
    where they say who comes, nor what OTEL_EXPORTER_OTLP_HEADERS says wrong.

    Raises:
        SettingsError: tls_ca_file cannot be read, or is not what it should be.
    """
    import requests

    if config.tls_ca_file:
        _trusting(config.tls_ca_file, "tls_ca_file")

    class Session(requests.Session):
        def request(self, *args: Any, **kwargs: Any) -> requests.Response:
            if not config.tls_verify:
                kwargs["verify"] = False
            else:
                # Said with each request: a session's own yields to REQUESTS_CA_BUNDLE, which is for the whole machine.
                named = config.tls_ca_file or (self.verify if isinstance(self.verify, str) else "")
                kwargs["verify"] = named or kwargs.get("verify")
            asked = {**self.headers, **(kwargs.get("headers") or {})}
            left_out = {name: None for name in asked if name.lower() not in _OF_CONTENT}
            own = {name: value for name, value in asked.items() if name not in left_out}
            kwargs["headers"] = {**left_out, **own, **headers}
            return super().request(*args, **kwargs)

    made = Session()
    if any(name.lower() == "authorization" for name in headers):
        made.auth = lambda request: request
    return made


def _trusting(ca_file: str, setting: str) -> ssl.SSLContext:
    import ssl

    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise _unusable(setting, ca_file, error) from None


def _unusable(setting: str, path: str, error: OSError) -> SettingsError:
    return SettingsError(f"{setting}: {path} is not used: expected a readable PEM file, got {error.strerror or error}")


_OTEL = "OTEL_EXPORTER_OTLP_"
_OF_CONTENT = frozenset({"accept", "accept-encoding", "connection", "content-encoding", "content-type", "user-agent"})
