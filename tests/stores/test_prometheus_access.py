"""Prometheus behind TLS, passwords, tokens, tenants and path prefixes: by its own web configuration and by a proxy."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from featurewatch.errors import SettingsError, Unavailable, UpstreamError
from featurewatch.settings import Settings, load
from featurewatch.stores.prometheus import PrometheusStore
from featurewatch.stores.upstream import Upstream, target_of
from prometheus import Prometheus, Server, free_port, make

pytestmark = pytest.mark.anyio

PASSWORD: Final = "opens"
HASH: Final = "$2b$04$QpJLnMBwGDXzhzFzJJY0q.1mGEOgB5hsmIhiJ7je/ZM/1MAPIcWVy"
"""Of PASSWORD, by bcrypt."""


@dataclass
class Guarded:
    """A Prometheus that wants HTTPS and a password; `certificate` vouches for it."""

    server: Server
    certificate: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server.port}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("guarded")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "web.yml").write_text(
        f"tls_server_config: {{cert_file: {certificate}, key_file: {key}}}\nbasic_auth_users: {{fw: '{HASH}'}}\n"
    )
    made = make(folder / "prometheus", options=[f"--web.config.file={folder / 'web.yml'}"])
    server = Secured(made.program, made.folder, made.port, made.arguments, made.ready)
    server.certificate = certificate
    server.start()
    yield Guarded(server, certificate)
    server.stop()


class Secured(Prometheus):
    """Knows how to ask whether it is ready."""

    certificate: Path

    def _answers(self) -> bool:
        try:
            answer = httpx.get(f"https://127.0.0.1:{self.port}/-/ready", auth=("fw", PASSWORD), verify=False, timeout=5)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200


@asynccontextmanager
async def opened(**given: Any) -> AsyncIterator[PrometheusStore]:
    """Open the store as the settings describe it."""
    settings: Settings = load({}, **{f"prometheus_{name}": value for name, value in given.items()})
    store = PrometheusStore(Upstream(target_of(settings, "prometheus")))
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    return file


async def test_a_password_and_an_own_authority(guarded: Guarded, password: Path) -> None:
    async with opened(url=guarded.url, user="fw", password_file=password, ca_file=guarded.certificate) as store:
        await store.ping()
        assert await store.measure(None, 300) == {}


async def test_a_password_in_the_address_is_never_shown(guarded: Guarded) -> None:
    url = guarded.url.replace("https://", f"https://fw:{PASSWORD}@")
    async with opened(url=url, ca_file=guarded.certificate) as store:
        await store.ping()
    async with opened(url=url.replace(PASSWORD, "wrong-secret"), ca_file=guarded.certificate) as store:
        with pytest.raises(UpstreamError, match="refused the credentials") as caught:
            await store.ping()
    assert "wrong-secret" not in caught.value.message
    assert "FEATUREWATCH_PROMETHEUS_PASSWORD_FILE" in caught.value.message


async def test_a_certificate_of_nobody_known_is_refused_unless_it_is_not_checked(
    guarded: Guarded, password: Path
) -> None:
    async with opened(url=guarded.url, user="fw", password_file=password) as store:
        with pytest.raises(Unavailable, match="certificate verify failed"):
            await store.ping()
    async with opened(url=guarded.url, user="fw", password_file=password, tls_verify="0") as store:
        await store.ping()


async def test_http_where_https_is_spoken_is_told(guarded: Guarded) -> None:
    async with opened(url=guarded.url.replace("https", "http")) as store:
        with pytest.raises((UpstreamError, Unavailable), match="Prometheus at http://127"):
            await store.ping()


async def test_an_authority_that_is_none_is_named(guarded: Guarded, tmp_path: Path) -> None:
    for file in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        if file.stem == "empty":
            file.write_text("no certificate")
        with pytest.raises(SettingsError, match=f"FEATUREWATCH_PROMETHEUS_CA_FILE.*{file.name}"):
            async with opened(url=guarded.url, ca_file=file):
                pass


@dataclass
class Proxy:
    """Passes on what carries the right headers, under a path of its own."""

    url: str
    wants: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)


@pytest.fixture
def proxy(prometheus: Prometheus) -> Iterator[Proxy]:
    told = Proxy(f"http://127.0.0.1:{free_port()}")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.seen.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if any(self.headers.get(name) != value for name, value in told.wants.items()):
                self._answer(401, b"no org id")
            elif not self.path.startswith("/team/prometheus/api/v1/"):
                self._answer(404, b"")
            else:
                path = self.path.removeprefix("/team/prometheus")
                answer = httpx.post(
                    prometheus.url + path, content=body, headers={"Content-Type": self.headers["Content-Type"]}
                )
                self._answer(answer.status_code, answer.content)

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", int(told.url.rpartition(":")[2])), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_tenant_and_a_path_as_mimir_has_them(proxy: Proxy) -> None:
    proxy.wants = {"X-Scope-OrgID": "team-a"}
    async with opened(url=f"{proxy.url}/team/prometheus/", tenant="team-a") as store:
        await store.ping()
        assert isinstance(await store.measure(None, 300), dict)
    assert set(proxy.seen) <= {"/team/prometheus/api/v1/query", "/team/prometheus/api/v1/query_range"}
    async with opened(url=f"{proxy.url}/team/prometheus") as store:
        with pytest.raises(UpstreamError, match="FEATUREWATCH_PROMETHEUS_TENANT"):
            await store.ping()


async def test_a_token_is_read_anew_for_each_query(proxy: Proxy, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    proxy.wants = {"Authorization": "Bearer first"}
    async with opened(url=f"{proxy.url}/team/prometheus", token_file=file) as store:
        await store.ping()
        proxy.wants = {"Authorization": "Bearer second"}
        with pytest.raises(UpstreamError, match="refused the credentials"):
            await store.ping()
        file.write_text("second\n")
        await store.ping()
        file.unlink()
        with pytest.raises(Unavailable, match=r"the credential in .*token cannot be read"):
            await store.ping()


async def test_a_wrong_path_asks_whether_the_address_is_right(proxy: Proxy, prometheus: Prometheus) -> None:
    for url in (f"{proxy.url}/elsewhere", f"{prometheus.url}/api/v1"):
        async with opened(url=url) as store:
            with pytest.raises(UpstreamError, match="does not know the path"):
                await store.ping()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "prometheus:9090"}, "expected a URL that starts with http"),
        ({"matchers": "cluster"}, "expected labels such as cluster=eu"),
        ({"matchers": "a b=c"}, "expected labels such as cluster=eu"),
        ({"matchers": "__name__=up"}, "expected labels such as cluster=eu"),
        ({"recorded": "maybe"}, "'auto', 'on' or 'off'"),
        ({"timeout": "0"}, "more than 0s"),
    ],
)
def test_a_setting_that_is_none_is_named(given: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        load({f"FEATUREWATCH_PROMETHEUS_{name.upper()}": value for name, value in given.items()})
    assert f"FEATUREWATCH_PROMETHEUS_{next(iter(given)).upper()}" in caught.value.message


def test_matchers_are_labels_and_their_values() -> None:
    settings = load({"FEATUREWATCH_PROMETHEUS_MATCHERS": "cluster=eu, team=a=b"})
    assert settings.prometheus_matchers == ("cluster=eu", "team=a=b")
