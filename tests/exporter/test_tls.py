"""Servers of an authority that the system does not know: `tls_ca_file` is for all that is sent, OTEL_* count too."""

from __future__ import annotations

import gzip
import logging
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import featurewatch
from featurewatch import Feature

METRICS, PUSH, CALLS, OTLP_LOGS = "/v1/metrics", "/loki/api/v1/push", "/api/v1/features/chat/requests", "/v1/logs"


@dataclass
class Authority:
    """A folder with an authority `ca.pem`, and what it signed."""

    folder: Path

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    def pair(self, name: str) -> tuple[str, str]:
        """Return a certificate and its key."""
        return str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key")


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def made(folder: Path) -> Authority:
    """Make an authority, and sign a certificate for a server at 127.0.0.1 and one for a client."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", "-x509", *key, "-days", "2", "-subj", "/CN=ours", "-keyout", "ca.key", "-out", "ca.pem")
    for name in ("server", "client"):
        (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl(folder, "req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "extensions", "-out", f"{name}.pem",
        )  # fmt: skip
    return Authority(folder)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("no program openssl to make certificates with")
    return made(tmp_path_factory.mktemp("authority"))


@dataclass
class Server:
    url: str
    paths: list[str] = field(default_factory=list)


@pytest.fixture(params=[False])
def server(authority: Authority, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server whose certificate the authority signed; with True for parameter it asks for the client's."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
            state.paths.append(self.path)
            self.send_response(204 if self.path == PUSH else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    class TlsServer(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of handshakes that clients break off: that they do is what is tested."""

    listening = TlsServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.pair("server"))
    if request.param:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.ca)
    listening.socket = context.wrap_socket(listening.socket, server_side=True, do_handshake_on_connect=False)
    state = Server(f"https://127.0.0.1:{listening.server_port}")
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
    thread.start()
    yield state
    featurewatch.shutdown(timeout=0)
    listening.shutdown()
    thread.join()
    listening.server_close()


def use() -> None:
    """Make a call with a line in it."""
    log = logging.Logger("app")
    log.addHandler(featurewatch.LogHandler())
    with Feature("chat").call():
        log.info("a line")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "featurewatch"]


def told_by(count: int, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Wait for so many messages, and a little longer for one too many."""
    deadline = time.monotonic() + 30
    while len(told(caplog)) < count and time.monotonic() < deadline:
        assert not featurewatch.flush(timeout=0.2)
    featurewatch.flush(timeout=0.3)
    lines = told(caplog)
    assert len(lines) == count, lines
    return lines


def test_metrics_and_lines_trust_the_ca_file(
    server: Server, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    featurewatch.configure(endpoint=server.url, tls_ca_file=authority.ca)
    use()
    assert featurewatch.flush(timeout=20), told(caplog)
    assert {METRICS, PUSH} == set(server.paths)
    assert told(caplog) == []


def test_metrics_and_lines_to_a_collector_do_too(server: Server, authority: Authority) -> None:
    featurewatch.configure(otlp_endpoint=server.url, tls_ca_file=authority.ca)
    use()
    assert featurewatch.flush(timeout=20)
    assert {METRICS, OTLP_LOGS} == set(server.paths)


def test_calls_sent_one_by_one_do_too(server: Server, authority: Authority) -> None:
    featurewatch.configure(endpoint=server.url, tls_ca_file=authority.ca, mode="events")
    use()
    assert featurewatch.flush(timeout=20)
    assert {CALLS, PUSH} == set(server.paths)


@pytest.mark.parametrize("mode", ["metrics", "events"])
def test_without_it_nothing_is_sent_and_each_signal_says_so_once(
    server: Server, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    featurewatch.configure(endpoint=server.url, mode=mode, push_interval=0.1)
    use()
    lines = told_by(2, caplog)
    assert server.paths == []
    assert all("certificate verify failed" in line.lower() or "CERTIFICATE_VERIFY_FAILED" in line for line in lines)


@pytest.mark.parametrize("mode", ["metrics", "events"])
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")  # urllib3's, which is right
def test_a_server_that_nobody_vouches_for_is_taken_where_that_is_asked_for(server: Server, mode: str) -> None:
    featurewatch.configure(endpoint=server.url, mode=mode, tls_verify=False)
    use()
    assert featurewatch.flush(timeout=20)
    assert {METRICS if mode == "metrics" else CALLS, PUSH} == set(server.paths)


@pytest.mark.parametrize("mode", ["metrics", "events"])
@pytest.mark.parametrize("content", [None, "no certificate\n"], ids=["missing", "no certificate"])
def test_a_file_that_is_of_no_use_is_told_once_by_each_signal_and_breaks_nothing(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    featurewatch.configure(endpoint=server.url, mode=mode, tls_ca_file=path, push_interval=0.1)
    use()
    lines = told_by(2, caplog)
    assert all("tls_ca_file" in line and str(path) in line for line in lines), lines
    assert all(record.exc_info is None for record in caplog.records)


def test_opentelemetrys_variable_names_it_for_a_collector(
    server: Server, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.ca)
    use()
    assert featurewatch.flush(timeout=20)
    assert {METRICS, OTLP_LOGS} == set(server.paths)


@pytest.mark.parametrize("server", [True], indirect=True, ids=["asks for the client's certificate"])
def test_opentelemetrys_variables_name_the_clients_own_certificate(
    server: Server, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = authority.pair("client")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.ca)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", key)
    use()
    assert featurewatch.flush(timeout=20)
    assert {METRICS, OTLP_LOGS} == set(server.paths)
