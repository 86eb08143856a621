"""HTTP to a system of the stack (Prometheus, Loki, Alertmanager, Mimir): credentials, time-outs and truthful errors."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx

from ..errors import AnswerTooLong, SettingsError, TimedOut, TooMany, Unavailable, UpstreamError
from .upstream_stats import UpstreamStats

if TYPE_CHECKING:
    from ..settings import Settings

__all__ = ["Target", "Upstream", "credentials_of", "ssl_context", "target_of", "targets_of"]

TENANT_HEADER: Final = "X-Scope-OrgID"
MOST_BYTES: Final = 128 * 1024**2
"""A longer answer is no answer to a question of ours: 1,000 features from raw series make some 5 MB."""
_SHOWN: Final = 300
"""Characters of an upstream's own words that a message repeats."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an upstream is and what it wants to see. A secret stands in a file that is read at each request.

    Attributes:
        name: what messages call it, such as Prometheus.
        setting: the prefix of its settings, such as FEATUREWATCH_PROMETHEUS, for messages that say what to do.
        url: may carry `user:password@`; it is never shown with it.
        user: for basic authentication, with `password_file`; `token_file` is for a bearer token.
        url_setting: the setting of its address, where that is not `setting` and _URL.
    """

    name: str
    setting: str
    url: str
    tenant: str = ""
    user: str = ""
    password_file: Path | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    tls_verify: bool = True
    timeout_s: float = 10.0
    url_setting: str = ""

    def __repr__(self) -> str:
        return f"Target({self.name!r}, {self.shown!r})"

    @property
    def bare(self) -> str:
        """The URL without credentials and without a slash at its end."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))

    @property
    def shown(self) -> str:
        """The upstream as a message names it."""
        return f"{self.name} at {self.bare}"

    @property
    def named_by(self) -> str:
        """The setting of its address, for messages that say what to do."""
        return self.url_setting or f"{self.setting}_URL"


def target_of(settings: Settings, name: str) -> Target:
    """Return the upstream that the settings describe; `name` is the prefix of its settings, such as `loki`."""
    return _target(settings, name, getattr(settings, f"{name}_url"))


def targets_of(settings: Settings, urls: str) -> tuple[Target, ...]:
    """Return the upstreams of a setting that lists several, `alertmanager_urls` or `prometheus_ruler_urls`.

    All of a list are shown the credentials of its first word, such as ALERTMANAGER_USER.
    """
    name = urls.partition("_")[0]
    setting = f"FEATUREWATCH_{urls.upper()}"
    return tuple(replace(_target(settings, name, url), url_setting=setting) for url in getattr(settings, urls))


def _target(settings: Settings, name: str, url: str) -> Target:
    fields = ("tenant", "user", "password_file", "token_file", "ca_file", "tls_verify")
    told = {field: getattr(settings, f"{name}_{field}") for field in fields}
    timeout_s = getattr(settings, f"{name}_timeout")
    return Target(name.capitalize(), f"FEATUREWATCH_{name.upper()}", url, **told, timeout_s=timeout_s)


def credentials_of(target: Target) -> dict[str, str]:
    """Make the headers that show who asks: tenant and Authorization. The files are read anew.

    Raises:
        Unavailable: a file cannot be read.
    """
    headers = {TENANT_HEADER: target.tenant} if target.tenant else {}
    if target.token_file is not None:
        headers["Authorization"] = f"Bearer {_secret(target, target.token_file)}"
        return headers
    told, at, _ = urlsplit(target.url).netloc.rpartition("@")
    user, _, password = told.partition(":")
    if target.user:
        user = target.user
        password = "" if target.password_file is None else _secret(target, target.password_file)
    elif at:
        user, password = unquote(user), unquote(password)
    if user:
        headers["Authorization"] = "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")
    return headers


def ssl_context(target: Target) -> ssl.SSLContext | None:
    """Make what checks the upstream's certificate; None for plain HTTP.

    Raises:
        SettingsError: the file of certificate authorities cannot be read.
    """
    if not target.url.startswith("https://"):
        return None
    try:
        context = ssl.create_default_context(cafile=None if target.ca_file is None else str(target.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"{target.setting}_CA_FILE: expected certificates in PEM form in {target.ca_file} ({error.strerror})"
        ) from None
    if not target.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Upstream:
    """A connection pool to one upstream. Made in the event loop that uses it; `close` it."""

    def __init__(self, target: Target, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        context = ssl_context(target)
        self.target = target
        self.stats = UpstreamStats()
        self._http = httpx.AsyncClient(
            transport=transport,
            # Over plain HTTP nobody shows a certificate: reading all authorities would take 20 ms for nothing.
            verify=False if context is None else context,
            timeout=httpx.Timeout(target.timeout_s, connect=min(5.0, target.timeout_s)),
            limits=httpx.Limits(max_connections=16, max_keepalive_connections=8),
            trust_env=False,
            follow_redirects=False,
            headers={"User-Agent": "featurewatch"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. Harmless when repeated."""
        await self._http.aclose()

    async def request(self, method: str, path: str, *, at_most: int | None = None, **options: Any) -> httpx.Response:
        """Ask, and return the answer whatever its status.

        Args:
            at_most: bytes; of a longer answer no more is read. None: MOST_BYTES.
            options: as `httpx.AsyncClient.request`: params, data, content, json, headers, timeout.

        Raises:
            Unavailable: it cannot be reached or broke off. TimedOut: it did not answer in time.
            AnswerTooLong: it is longer than `at_most`.
        """
        headers = {**credentials_of(self.target), **options.pop("headers", {})}
        patience = options.get("timeout", self.target.timeout_s)
        began = time.perf_counter()
        with self._told():
            try:
                # httpx's own time-outs are for each part of the exchange: an answer that trickles would never end.
                async with asyncio.timeout(patience if isinstance(patience, (int, float)) else None):
                    url = f"{self.target.bare}{path}"
                    async with self._http.stream(method, url, headers=headers, **options) as answer:
                        whole = await self._read(answer, MOST_BYTES if at_most is None else at_most)
            except TimeoutError:
                raise httpx.ReadTimeout("the whole answer took too long") from None
        self.stats.answered(time.perf_counter() - began, whole.status_code)
        return whole

    @asynccontextmanager
    async def stream(self, method: str, path: str, **options: Any) -> AsyncIterator[httpx.Response]:
        """Ask, and read the answer in parts; raises as `request`, also while it is read."""
        headers = {**credentials_of(self.target), **options.pop("headers", {})}
        began = time.perf_counter()
        with self._told():
            async with self._http.stream(method, f"{self.target.bare}{path}", headers=headers, **options) as answer:
                self.stats.answered(time.perf_counter() - began, answer.status_code)
                yield answer

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask, and return an answer of status 2xx.

        Raises:
            Unavailable: it cannot be reached or answered 5xx. TooMany: it answered 429.
            UpstreamError: it answered anything else; the message repeats its words.
        """
        answer = await self.request(method, path, **options)
        if answer.is_success:
            return answer
        raise self.refusal(answer)

    async def ask_json(self, method: str, path: str, **options: Any) -> Any:
        """Ask, and return what a 2xx answer says as JSON; raises as `ask`, UpstreamError where it is no JSON."""
        answer = await self.ask(method, path, **options)
        try:
            return json.loads(answer.content)
        except ValueError:
            self.stats.failures["garbage"] += 1
            raise UpstreamError(
                f"{self.target.shown} answered {answer.status_code} with something else than JSON: "
                f"is {self.target.named_by} right?"
            ) from None

    def refusal(self, answer: httpx.Response) -> UpstreamError | Unavailable | TooMany:
        """Tell an answer that is no success as an error: what came, and what to do."""
        status, said = answer.status_code, _words(answer)
        if status in (401, 403):
            setting = self.target.setting
            return UpstreamError(
                f"{self.target.shown} refused the credentials ({status}): see {setting}_TOKEN_FILE, "
                f"{setting}_USER and {setting}_PASSWORD_FILE, {setting}_TENANT"
            )
        if status == 429:
            after = answer.headers.get("retry-after", "")
            return TooMany(
                f"{self.target.shown} asks to come back later ({status}){said}",
                retry_after=int(after) if after.isdigit() else 1,
            )
        if answer.is_redirect:
            return UpstreamError(
                f"{self.target.shown} sent us elsewhere ({status}): set {self.target.named_by} to the address itself"
            )
        if status == 404 and (not said or "page not found" in said):
            return UpstreamError(f"{self.target.shown} does not know the path ({status}): is the address right?")
        kind = Unavailable if status >= 500 else UpstreamError
        return kind(f"{self.target.shown} answered {status}{said}")

    async def _read(self, answer: httpx.Response, at_most: int) -> httpx.Response:
        """Read an answer to its end, at most so many bytes of it."""
        parts, size = [], 0
        async for part in answer.aiter_bytes():
            parts.append(part)
            size += len(part)
            if size > at_most:
                self.stats.failures["garbage"] += 1
                raise AnswerTooLong(
                    f"{self.target.shown} answered with more than {at_most / 1e6:g} MB, which is more than is read"
                )
        coding = ("content-encoding", "content-length", "transfer-encoding")
        headers = [(name, value) for name, value in answer.headers.multi_items() if name not in coding]
        return httpx.Response(answer.status_code, headers=headers, content=b"".join(parts))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException:
            self.stats.failures["timeout"] += 1
            raise TimedOut(f"{self.target.shown} did not answer within {self.target.timeout_s:g} s") from None
        except httpx.ConnectError as error:
            self.stats.failures["unreachable"] += 1
            raise Unavailable(
                f"{self.target.shown} cannot be reached ({_line(error)}): is it running, and is "
                f"{self.target.named_by} right?"
            ) from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            self.stats.failures["broken"] += 1
            raise Unavailable(f"{self.target.shown} broke off ({_line(error)})") from None
        except (httpx.InvalidURL, UnicodeError):
            raise UpstreamError(f"{self.target.named_by} is no URL that can be asked") from None


def _words(answer: httpx.Response) -> str:
    """Return what the upstream said of the reason, as one line after a colon; "" where that is nothing of use."""
    text = answer.text.strip()
    try:
        told = json.loads(text)
    except ValueError:
        told = text
    if isinstance(told, dict):
        told = told.get("error") or told.get("message") or text
    line = " ".join(str(told).split())
    return f": {line[:_SHOWN]}{'…' if len(line) > _SHOWN else ''}" if line and not line.startswith("<") else ""


def _secret(target: Target, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise Unavailable(f"{target.shown}: the credential in {path} cannot be read ({reason})") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
