"""A destination of lines: where it is, how it is written to, and what its answers mean."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from . import tls
from .answers import Verdict, by_status, one_line, otlp_text
from .config import Config
from .frames import LOKI_JSON, OTLP_PROTOBUF, Codec, Frame, codec
from .worker import LOADING, silence

if TYPE_CHECKING:
    import httpx

_TIMEOUT_S: Final = 10.0


class Destination:
    """Sends frames to where the configuration says, over one client, and judges the answers."""

    def __init__(
        self,
        config: Config,
        new_client: Callable[[], httpx.Client] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = config.logs_url
        self.service = config.service_name
        self.kind = config.logs_kind
        self._config = config
        self._new_client = new_client or self._default_client
        self._client: httpx.Client | None = None
        self._clock = clock

    @property
    def requests_at_once(self) -> int:
        """How many batches may be on their way at a time.

        Two into Loki, which sorts lines by their time: while it works on one, the next is sent. One elsewhere: a bridge
        keeps lines in the order in which they arrive.
        """
        return 2 if self.kind == "loki" else 1

    @property
    def format(self) -> int:
        return OTLP_PROTOBUF if self.kind == "otlp" else LOKI_JSON

    @property
    def codec(self) -> Codec:
        return codec(self.format, self._config.otel_logs.resource)

    def send(self, frame: Frame) -> Verdict:
        """Send a frame of this destination's format. Never raises: what fails is to be tried again."""
        try:
            client = self._client or self._connected()
            answer = client.post(self.url, content=self._compressed(frame.body))
        except Exception as error:  # httpx's own, a wrong CA file, a proxy's name that cannot be read, ...
            return Verdict("later", said=f"{type(error).__name__}: {error}")
        return self._judge(answer)

    def close(self) -> None:
        """Close the connections; nothing is sent at that time."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _compressed(self, body: bytes) -> bytes:
        """Compress as OTEL_EXPORTER_OTLP_COMPRESSION says what is kept in gzip."""
        compression = self._config.otel_logs.compression
        if self.kind != "otlp" or compression == "gzip":
            return body
        plain = gzip.decompress(body)
        return zlib.compress(plain, 1) if compression == "deflate" else plain

    def _connected(self) -> httpx.Client:
        """Make the client, the one that all senders share."""
        with LOADING:
            if self._client is None:
                self._client = self._new_client()
            return self._client

    def denied(self, status: str) -> str:
        """Say what to look at where the destination denies what is sent."""
        setting = {"loki": "loki_url", "bridge": "endpoint"}.get(self.kind, "otlp_endpoint")
        if status in ("401", "403"):
            return {
                "loki": "set loki_user and loki_password, loki_token or loki_tenant",
                "bridge": "set token to one with the role ingest",
            }.get(self.kind, "set OTEL_EXPORTER_OTLP_HEADERS")
        if status == "260":
            return "ingestion is blocked there for this tenant: ask who runs it"
        return f"is {setting} right?"

    def _judge(self, answer: httpx.Response) -> Verdict:
        status = answer.status_code
        if self.kind == "otlp":
            if status // 100 == 2:
                with LOADING:
                    from .otlp_logs import accepted
                return accepted(answer.content)
        elif status == 204:
            return Verdict("stored")
        text = answer.text
        if self.kind == "otlp":
            with LOADING:
                text = otlp_text(answer.headers.get("Content-Type", ""), answer.content)
        said = one_line(status, text)
        if status == 400 and self.kind != "otlp":
            with LOADING:
                from .loki import refused
            return refused(answer.text)._replace(said=said)
        return by_status(status, said, answer.headers.get("Retry-After", ""), self._clock())

    def _default_client(self) -> httpx.Client:
        import encodings.idna  # noqa: F401  # what a first connection imports

        import httpx

        for logger in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy"):
            silence(logger)
        config, otlp = self._config, self.kind == "otlp"
        headers = {
            "Content-Type": codec(self.format).content_type,
            "Content-Encoding": config.otel_logs.compression if otlp else "gzip",
            "User-Agent": "featurewatch",
            **(config.otel_logs.headers if otlp and not config.is_bridge(self.url) else {}),
            **config.headers(self.url),
        }
        if otlp and config.otel_logs.compression == "none":
            del headers["Content-Encoding"]
        otel = config.otel_logs
        verify = tls.for_httpx(config, ca_file=otel.ca_file, client=otel.client) if otlp else tls.for_httpx(config)
        timeout = otel.timeout or _TIMEOUT_S if otlp else _TIMEOUT_S
        return httpx.Client(headers=headers, timeout=timeout, verify=verify)
