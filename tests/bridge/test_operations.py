from __future__ import annotations

import gzip
import re
from pathlib import Path

import cramjam
import httpx
import pytest

from featurewatch.errors import Unavailable

from .running import API, bridge

pytestmark = pytest.mark.anyio


async def test_the_process_says_that_it_lives(client: httpx.AsyncClient) -> None:
    answer = await client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready_shows_each_store(client: httpx.AsyncClient) -> None:
    shown = (await client.get("/readyz")).json()
    assert shown == {"status": "ready", "checks": {name: {"ok": True} for name in ("logs", "metrics", "state")}}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", f"{API}/features", f"{API}/me"])
async def test_head_is_answered_as_get_is(client: httpx.AsyncClient, path: str) -> None:
    told, shown = await client.head(path), await client.get(path)
    assert (told.status_code, told.headers["content-type"]) == (200, shown.headers["content-type"])


async def test_a_store_that_cannot_answer_makes_it_unready(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ping() -> None:
        raise Unavailable("the file is gone")

    stores = client.app.state.bridge.stores  # type: ignore[attr-defined]  # see client_of
    monkeypatch.setattr(stores.logs, "ping", ping)
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["status"] == "unready"
    assert answer.json()["checks"]["logs"] == {"ok": False, "error": "the file is gone"}
    assert answer.json()["checks"]["state"] == {"ok": True}


async def test_requests_are_counted_by_template_and_never_by_path(client: httpx.AsyncClient) -> None:
    await client.put(f"{API}/features/chat", json={})
    for number in range(5):
        await client.get(f"{API}/features/nowhere-{number}")
        await client.get(f"/random/{number}")
        await client.request(f"VERB{number}", "/healthz")
    text = (await client.get("/metrics")).text
    name = "featurewatch_http_request_duration_seconds_count"
    assert f'{name}{{method="GET",route="/features/{{feature_id}}",status="404"}} 5.0' in text
    assert f'{name}{{method="GET",route="none",status="404"}} 5.0' in text
    assert f'{name}{{method="other",route="none",status="405"}} 5.0' in text
    assert "nowhere-" not in text
    assert "random" not in text


async def test_what_is_taken_in_and_refused_is_counted(client: httpx.AsyncClient) -> None:
    await client.post(f"{API}/logs", json=[{"featureId": "chat", "message": "x"}] * 3)
    await client.post(f"{API}/logs", json={"featureId": "chat"})
    text = (await client.get("/metrics")).text
    assert 'featurewatch_ingested_total{protocol="json",signal="logs"} 3.0' in text
    assert 'featurewatch_refused_total{code="bad_request",protocol="json",signal="logs"} 1.0' in text


async def test_the_stores_and_the_poll_show_what_they_count(client: httpx.AsyncClient) -> None:
    text = (await client.get("/metrics")).text
    assert "\nfeaturewatch_poll_ticks_total " in text
    assert "featurewatch_poll_failures_total 0.0" in text
    assert 'featurewatch_log_store_removed_lines_total{reason="age"} 0.0' in text
    assert "\nfeaturewatch_log_store_queued_bytes " in text  # housekeeping may be in the queue
    assert "featurewatch_metric_store_dropped_samples_total 0.0" in text


async def test_metrics_come_as_openmetrics_where_that_is_asked_for(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def test_the_console_is_served_with_a_policy_and_its_configuration(anyio_backend: str, tmp_path: Path) -> None:
    async with bridge(tmp_path, api_prefix="/api/platform", grafana_url='https://g.example/"x') as client:
        page = await client.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert "unsafe" not in page.headers["content-security-policy"]
        assert "&quot;prefix&quot;:&quot;/api/platform&quot;" in page.text
        assert "__FEATUREWATCH_" not in page.text
        script = await client.get("/boot.js")
        assert script.headers["content-type"].startswith("text/javascript")
        assert script.headers["cache-control"] == "no-cache"
        again = await client.get("/boot.js", headers={"If-None-Match": script.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        await packed(client)
        await named(client, page.text)
        assert (await client.get("/api/platform/features")).status_code == 200
        assert (await client.get(f"{API}/features")).status_code == 404


async def packed(client: httpx.AsyncClient) -> None:
    plain = await client.get("/main.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    for asked, sent in (("gzip, deflate, br", "br"), ("gzip;q=0.5, br;q=0", "gzip"), ("GZIP", "gzip"), ("deflate", "")):
        async with client.stream("GET", "/main.js", headers={"Accept-Encoding": asked}) as answer:
            raw = b"".join([chunk async for chunk in answer.aiter_raw()])
        assert answer.headers.get("content-encoding", "") == sent
        assert answer.headers["vary"] == "Accept-Encoding"
        unpack = {"br": cramjam.brotli.decompress, "gzip": gzip.decompress, "": bytes}[sent]
        assert (bytes(unpack(raw)), len(raw) < len(plain.content) / 2) == (plain.content, sent != "")


async def named(client: httpx.AsyncClient, page: str) -> None:
    """The page names all modules of the first view, once each; those of other pages come when they are needed."""
    modules = re.findall(r'<link rel="modulepreload" href="([^"]+)">', page)
    assert len(set(modules)) == len(modules)
    assert {"overview.js", "kit/client.js"} <= set(modules)
    assert not {"main.js", "feature.js", "settings.js", "kit/log-view.js"} & set(modules)
    assert (await client.get(f"/{modules[-1]}")).headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("path", ["/../settings.py", "/%2e%2e/x.html", "/css/", "/index.html/x", "/css/..%2fboot.js"])
async def test_no_path_leads_out_of_the_console(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
