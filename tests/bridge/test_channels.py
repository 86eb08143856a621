"""Channels over REST: made, changed, tested and deleted; no secret comes back, whatever goes wrong."""

from __future__ import annotations

import asyncio
import smtplib
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from email import message_from_bytes
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import httpx
import pytest

from alertmanager import Sink
from alertmanager import sink as sink
from featurewatch.access import Principal
from featurewatch.alert_model import CHANNEL_KINDS
from featurewatch.alerts.channels import KINDS, example

from .running import API, bridge

pytestmark = pytest.mark.anyio

OPS = f"{API}/channels/ops"
SECRET = "hunter2-hunter2"


@pytest.fixture
async def client(anyio_backend: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with bridge(tmp_path) as running:
        yield running


def webhook(url: str = "https://example.com/hook", **settings: Any) -> dict[str, Any]:
    return {"kind": "webhook", "settings": {"url": url, **settings}}


async def test_a_channel_is_made_shown_changed_and_deleted(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{API}/channels")).json() == {"channels": []}
    made = await client.put(OPS, json=webhook(bearer_token=SECRET))
    assert made.status_code == 200
    shown = (await client.get(OPS)).json()
    assert shown == made.json()
    assert (shown["kind"], shown["send_resolved"]) == ("webhook", True)
    assert shown["settings"] == {"url": "https://example.com/hook", "bearer_token": "set"}
    assert shown["severities"] == ["low", "medium", "high", "critical"]
    assert shown["delivery"] == {"by": "bridge", "published": True}
    changed = await client.put(OPS, json={**webhook("https://example.com/other"), "send_resolved": False})
    assert changed.json()["settings"] == {"url": "https://example.com/other"}
    assert (changed.json()["revision"], changed.json()["send_resolved"]) == (2, False)
    assert [each["name"] for each in (await client.get(f"{API}/channels")).json()["channels"]] == ["ops"]
    assert (await client.delete(OPS)).status_code == 204
    assert (await client.get(OPS)).status_code == 404
    assert (await client.delete(OPS)).status_code == 404


@pytest.mark.parametrize("kind", CHANNEL_KINDS)
async def test_no_secret_comes_back_and_each_stands_in_a_file_of_its_own(
    client: httpx.AsyncClient, tmp_path: Path, kind: str
) -> None:
    body = example(kind)  # type: ignore[arg-type]  # one of CHANNEL_KINDS
    secrets = {each.name for each in KINDS[kind].settings if each.secret} & body["settings"].keys()  # type: ignore[index]
    made = await client.put(OPS, json=body)
    assert made.status_code == 200, made.text
    audit = await client.get(f"{API}/audit")
    for name in secrets:
        for answer in (made, await client.get(OPS), await client.get(f"{API}/channels"), audit):
            assert str(body["settings"][name]) not in answer.text
        assert made.json()["settings"][name] == "set"
    files = sorted((tmp_path / "data" / "secrets").iterdir())
    assert [path.name.partition("~")[0] for path in files] == sorted(f"ops.{name}" for name in secrets)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert {path.read_text() for path in files} == {body["settings"][name] for name in secrets}
    database = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("state.db*"))
    assert all(str(body["settings"][name]).encode() not in database for name in secrets)
    await client.delete(OPS)
    assert list((tmp_path / "data" / "secrets").iterdir()) == []


async def test_what_an_answer_showed_may_be_sent_back(client: httpx.AsyncClient, tmp_path: Path) -> None:
    body = webhook("https://chat.example/hook?key=KEY&token=TOKEN", bearer_token=SECRET)
    shown = (await client.put(OPS, json=body)).json()
    assert shown["settings"] == {"url": "https://chat.example/hook?…", "bearer_token": "set"}
    again = await client.put(OPS, json=shown)
    assert again.json()["revision"] == 1, "nothing changed"
    assert (await client.put(OPS, json=body)).json()["revision"] == 1, "the same secrets are no edit"
    assert (await client.put(OPS, json={**shown, "send_resolved": False})).json()["revision"] == 2
    texts = {path.read_text() for path in (tmp_path / "data" / "secrets").iterdir()}
    assert texts == {"https://chat.example/hook?key=KEY&token=TOKEN", SECRET}
    await client.put(OPS, json=webhook("https://chat.example/plain"))
    assert list((tmp_path / "data" / "secrets").iterdir()) == []


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ([], "", "expected an object"),
        ({}, "kind", "is missing; expected webhook, email"),
        ({"kind": "webhok"}, "kind", "got 'webhok'; did you mean webhook?"),
        ({"kind": "webhook"}, "settings.url", "is missing; webhook needs it"),
        ({"kind": "webhook", "settings": []}, "settings", "expected an object such as"),
        (webhook("example.com/hook"), "settings.url", "expected a URL such as https://example.com/hook"),
        (webhook("ftp://example.com"), "settings.url", "expected a URL"),
        (webhook("https://me:pw@example.com"), "settings.url", "without user and password"),
        (webhook("https://example.com:99999/"), "settings.url", "expected a URL"),
        (webhook(bearer_token="set"), "settings.bearer_token", "expected the secret itself"),
        (webhook(bearer_token="a", username="u", password="p"), "settings.bearer_token", "got both"),
        (webhook(username="u"), "settings.password", "is missing; username and password belong together"),
        (webhook(bearer_tokn="x"), "settings.bearer_tokn", "did you mean bearer_token?"),
        (webhook(bearer_token=5), "settings.bearer_token", "expected text"),
        (webhook(bearer_token="a\nb"), "settings.bearer_token", "on one line"),
        ({**webhook(), "send_resolved": "yes"}, "send_resolved", "expected true or false"),
        ({**webhook(), "severities": ["hihg"]}, "severities", "got 'hihg'; did you mean high?"),
        ({**webhook(), "severities": []}, "severities", "got an empty one"),
        ({"kind": "slack", "settings": {}}, "settings.webhook_url", "is missing; slack needs it"),
        ({"kind": "slack", "settings": {"url": "https://x/{{ y }}"}}, "settings.url", "without '{{'"),
        ({"kind": "telegram", "settings": {"bot_token": "abc", "chat_id": 5}}, "settings.bot_token", "@BotFather"),
        ({"kind": "telegram", "settings": {"bot_token": "1:a", "chat_id": "@ops"}}, "settings.chat_id", "the number"),
        ({"kind": "email", "settings": {"to": "ops"}}, "settings.to", "expected mail addresses such as"),
        ({"kind": "email", "settings": {"to": "a@b.c"}}, "settings.smarthost", "global.smtp_smarthost"),
        (
            {"kind": "email", "settings": {"to": "a@b.c", "from": "a@b.c", "smarthost": "mx"}},
            "settings.smarthost",
            "expected host:port",
        ),
    ],
)
async def test_what_is_wrong_is_explained_and_nothing_kept(
    client: httpx.AsyncClient, body: Any, field: str, said: str
) -> None:
    answer = await client.put(OPS, json=body)
    assert answer.status_code == 400, answer.text
    told = answer.json()
    assert said in f"{told['error']} {told['details']}"
    assert field in [detail["field"] for detail in told["details"]] or not field
    assert (await client.get(OPS)).status_code == 404


@pytest.mark.parametrize("name", ["a+b", "a@b", "x" * 65, "-a", "ä"])
async def test_a_name_that_routes_could_not_carry_is_refused(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.put(f"{API}/channels/{name}", json=webhook())).status_code == 400
    assert (await client.get(f"{API}/channels/{name}")).status_code == 404


async def test_a_wrong_secret_is_not_repeated(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    told = await client.put(OPS, json={"kind": "slack", "settings": {"webhook_url": f"nonsense {SECRET}"}})
    assert (told.status_code, SECRET in told.text, SECRET in caplog.text) == (400, False, False)
    told = await client.put(OPS, json={"kind": "telegram", "settings": {"bot_token": SECRET, "chat_id": 1}})
    assert (told.status_code, SECRET in told.text) == (400, False)


async def test_an_edit_names_the_revision_that_it_edits(client: httpx.AsyncClient) -> None:
    await client.put(OPS, json=webhook())
    etag = (await client.get(OPS)).headers["etag"]
    assert (await client.put(OPS, json=webhook("https://b/"), headers={"If-Match": etag})).status_code == 200
    assert (await client.put(OPS, json=webhook("https://c/"), headers={"If-Match": etag})).status_code == 412
    assert (await client.delete(OPS, headers={"If-Match": etag})).status_code == 412


async def test_a_channel_that_rules_use_stays_and_they_are_named(client: httpx.AsyncClient) -> None:
    await client.put(OPS, json=webhook())
    await client.put(f"{API}/features/chat", json={"name": "Chat"})
    rule = {"name": "Errors", "metric": "error_rate", "condition": "greater_than", "threshold": 5, "severity": "high"}
    made = await client.post(f"{API}/features/chat/alerts/rules", json={**rule, "notification_channels": ["ops"]})
    assert made.status_code == 201, made.text
    refused = await client.delete(OPS)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "chat/Errors" in refused.json()["error"]
    await client.delete(f"{API}/features/chat/alerts/rules/{made.json()['rule']['id']}")
    assert (await client.delete(OPS)).status_code == 204


async def test_who_did_what_is_kept(client: httpx.AsyncClient) -> None:
    await client.put(OPS, json=webhook())
    await client.put(OPS, json=webhook("https://b/"))
    await client.delete(OPS)
    deeds = (await client.get(f"{API}/audit?action=channel")).json()["deeds"]
    assert [deed["action"] for deed in deeds] == ["channel.delete", "channel.change", "channel.create"]
    assert {deed["target"] for deed in deeds} == {"ops"}


async def test_editors_of_some_features_may_look_and_not_edit(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.put(OPS, json=webhook())

    async def limited(*_: Any, **__: Any) -> Principal:
        return Principal("lim", "editor", ("chat",))

    monkeypatch.setattr(client.app.state.bridge.authenticator, "from_headers", limited)  # type: ignore[attr-defined]
    assert (await client.get(OPS)).status_code == 200
    for method, path in (("PUT", OPS), ("DELETE", OPS), ("POST", f"{OPS}/test")):
        body = webhook() if method == "PUT" else None
        assert (await client.request(method, path, json=body)).status_code == 403


async def test_a_test_notification_reaches_a_webhook_and_tells_the_result(
    client: httpx.AsyncClient, sink: Sink
) -> None:
    await client.put(OPS, json=webhook(f"{sink.url}/hook?key=KEY", bearer_token=SECRET))
    told = (await client.post(f"{OPS}/test")).json()
    assert told == {"delivered": True, "detail": "channel 'ops': 127.0.0.1 answered 200: ok"}
    (post,) = sink.at("/hook?key=KEY")
    assert post["headers"]["Authorization"] == f"Bearer {SECRET}"
    assert post["body"]["alerts"][0]["annotations"]["title"] == "Test notification"
    sink.status, sink.said = 403, f"token {SECRET} is not valid"
    told = (await client.post(f"{OPS}/test")).json()
    assert told == {"delivered": False, "detail": "channel 'ops': 127.0.0.1 answered 403: token *** is not valid"}
    await client.put(OPS, json=webhook("http://127.0.0.1:9/"))
    told = (await client.post(f"{OPS}/test")).json()
    assert (told["delivered"], "cannot be reached" in told["detail"]) == (False, True)
    assert (await client.post(f"{API}/channels/nobody/test")).status_code == 404


@pytest.mark.parametrize(
    ("kind", "settings", "path", "shows"),
    [
        ("slack", {"webhook_url": "{url}/s", "channel": "#ops"}, "/s", lambda b: b["text"] + b["channel"]),
        ("msteams", {"webhook_url": "{url}/t"}, "/t", lambda b: b["attachments"][0]["content"]["body"][0]["text"]),
        ("discord", {"webhook_url": "{url}/d"}, "/d", lambda b: b["embeds"][0]["title"]),
        ("telegram", {"bot_token": "1:a", "chat_id": -5, "url": "{url}"}, "/bot1:a/sendMessage", lambda b: b["text"]),
        ("pagerduty", {"routing_key": "k", "url": "{url}/p"}, "/p", lambda b: b["payload"]["summary"]),
        ("opsgenie", {"api_key": "k", "url": "{url}"}, "/v2/alerts", lambda b: b["message"]),
    ],
)
async def test_each_kind_is_told_in_its_own_words(
    client: httpx.AsyncClient, sink: Sink, kind: str, settings: dict[str, Any], path: str, shows: Any
) -> None:
    given = {name: value.format(url=sink.url) if isinstance(value, str) else value for name, value in settings.items()}
    assert (await client.put(OPS, json={"kind": kind, "settings": given})).status_code == 200
    told = (await client.post(f"{OPS}/test")).json()
    assert told["delivered"], told
    (post,) = sink.at(path)
    assert "[firing] Test notification (test test)" in shows(post["body"])


async def test_alertmanager_has_channels_told_by_the_bridge(tmp_path: Path, sink: Sink) -> None:
    token = tmp_path / "token"
    token.write_text("open sesame")
    async with bridge(tmp_path, webhook_token_file=token) as client:
        await client.put(OPS, json={**webhook(f"{sink.url}/hook"), "severities": ["critical"], "send_resolved": False})
        path = f"{API}/webhooks/alertmanager/channels/ops"
        alerts = [
            {"status": status, "labels": {"alertname": "E", "severity": severity}, "annotations": {}, "startsAt": "x"}
            for status, severity in (("firing", "critical"), ("firing", "low"), ("resolved", "critical"))
        ]
        group = {"version": "4", "groupKey": "k", "groupLabels": {"feature": "chat"}, "alerts": alerts}
        assert (await client.post(path, json=group)).status_code == 401
        shown = {"Authorization": "Bearer open sesame"}
        assert (await client.post(path, json=group, headers=shown)).status_code == 204
        (post,) = sink.at("/hook")
        assert [alert["labels"]["severity"] for alert in post["body"]["alerts"]] == ["critical"]
        group["alerts"] = alerts[1:]
        assert (await client.post(path, json=group, headers=shown)).status_code == 204
        assert len(sink.at("/hook")) == 1, "nothing that it wants, nothing said"
        sink.status = 500
        group["alerts"] = alerts
        assert (await client.post(path, json=group, headers=shown)).status_code == 503, "so that it tries again"
        gone = f"{API}/webhooks/alertmanager/channels/gone"
        assert (await client.post(gone, json=group, headers=shown)).status_code == 404
        for wrong in ([], {"alerts": [1]}, {"alerts": [{"status": "firing", "labels": []}]}, {"alerts": {}}):
            assert (await client.post(path, json=wrong, headers=shown)).status_code == 400


async def test_apprise_tells_any_service_and_its_reason_without_the_address(
    client: httpx.AsyncClient, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    where = sink.url.removeprefix("http://")
    for wrong, said in (("ops", "expected one address of apprise"), (f"nonsense://{SECRET}", "apprise understands")):
        told = await client.put(OPS, json={"kind": "apprise", "settings": {"url": wrong}})
        assert (told.status_code, told.json()["details"][0]["field"]) == (400, "settings.url")
        assert said in told.json()["error"]
        assert SECRET not in told.text
    settings = {"url": f"json://me:{SECRET}@{where}/hook/{SECRET}"}
    assert (await client.put(OPS, json={"kind": "apprise", "settings": settings})).status_code == 200
    assert (await client.get(OPS)).json()["settings"] == {"url": "set"}
    told = (await client.post(f"{OPS}/test")).json()
    assert told == {"delivered": True, "detail": "channel 'ops': JSON took it"}
    (post,) = sink.at(f"/hook/{SECRET}")
    assert (post["body"]["title"], post["body"]["type"]) == ("[firing] Test notification (test test)", "warning")
    assert "nothing is wrong" in post["body"]["message"]
    sink.status = 403
    told = (await client.post(f"{OPS}/test")).json()
    assert told["delivered"] is False
    assert "JSON did not take it" in told["detail"]
    assert "403" in told["detail"]
    await client.put(OPS, json={"kind": "apprise", "settings": {"url": f"ntfy://{SECRET}@127.0.0.1:9/topic"}})
    told = (await client.post(f"{OPS}/test")).json()
    assert told["delivered"] is False
    assert "ntfy did not take it" in told["detail"]
    assert SECRET not in f"{told} {caplog.text}"


async def test_without_apprise_its_channels_say_what_to_install(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    told = await client.put(OPS, json={"kind": "apprise", "settings": {"url": "ntfy://ntfy.sh/topic"}})
    assert (told.status_code, "pip install 'featurewatch[notify]'" in told.text) == (400, True)


class MailServer(ThreadingTCPServer):
    """Takes mails by SMTP without TLS and keeps them."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.refuses = False
        super().__init__(("127.0.0.1", 0), _Smtp)


class _Smtp(StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.wfile.write(b"220 mx\r\n")
        while line := self.rfile.readline():
            word = line.strip().upper()
            if word.startswith(b"RCPT") and self.server.refuses:
                self.wfile.write(b"550 no such user\r\n")
            elif word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = []
                while (text := self.rfile.readline()) != b".\r\n":
                    lines.append(text)
                self.server.mails.append(b"".join(lines))
                self.wfile.write(b"250 taken\r\n")
            else:
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")
            if word == b"QUIT":
                return


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


async def test_mail_is_sent_and_its_refusal_told(client: httpx.AsyncClient, mail_server: MailServer) -> None:
    settings = {
        "to": ["ops@example.com", "dev@example.com"], "from": "fw@example.com",
        "smarthost": f"127.0.0.1:{mail_server.server_address[1]}", "require_tls": False,
    }  # fmt: skip
    assert (await client.put(OPS, json={"kind": "email", "settings": settings})).status_code == 200
    told = (await client.post(f"{OPS}/test")).json()
    assert told["delivered"], told
    mail = message_from_bytes(mail_server.mails[0])
    assert (mail["Subject"], mail["To"]) == (
        "[firing] Test notification (test test)",
        "ops@example.com, dev@example.com",
    )
    mail_server.refuses = True
    told = (await client.post(f"{OPS}/test")).json()
    assert (told["delivered"], "no such user" in told["detail"]) == (False, True)
    strict = {**settings, "require_tls": True}
    await client.put(OPS, json={"kind": "email", "settings": strict})
    told = (await client.post(f"{OPS}/test")).json()
    assert (told["delivered"], "STARTTLS" in told["detail"]) == (False, True)
    assert issubclass(smtplib.SMTPNotSupportedError, smtplib.SMTPException)


async def test_two_edits_at_once_leave_the_secrets_of_one(client: httpx.AsyncClient, tmp_path: Path) -> None:
    await asyncio.gather(*(client.put(OPS, json=webhook(bearer_token=f"{SECRET}{number}")) for number in range(5)))
    files = list((tmp_path / "data" / "secrets").iterdir())
    channel = await client.app.state.bridge.channels.channel("ops")  # type: ignore[attr-defined]
    assert channel.secrets["bearer_token"] in {path.name for path in files}
