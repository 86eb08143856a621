"""Requests of a real Flask app as calls of features."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import flask
import pytest

import featurewatch
from exporter.recorded import recorded
from featurewatch import Feature, FeatureWSGIMiddleware, current_call
from featurewatch.exporter.runtime import RUNTIME


class Boom(Exception):
    pass


@pytest.fixture
def chat() -> Feature:
    return Feature("chat", models=["m"])


@pytest.fixture
def client(chat: Feature) -> Any:
    app = flask.Flask("shop")

    @app.route("/chat/<id>", methods=["GET", "POST"])
    def answer(id: str) -> str:
        assert current_call().feature == "chat"
        current_call().tokens(input=3)
        return f"hello {id}"

    @app.route("/stream")
    def stream() -> flask.Response:
        def parts() -> Iterator[str]:
            for part in range(3):
                assert current_call().feature == "chat"
                yield f"part {part}"

        return flask.Response(parts())

    @app.route("/break")
    def breaks() -> flask.Response:
        def parts() -> Iterator[str]:
            yield "part"
            raise Boom

        return flask.Response(parts())

    @app.route("/status/<int:status>")
    def status_of(status: int) -> Any:
        return "", status

    @app.route("/boom")
    def boom() -> str:
        raise Boom

    middleware = FeatureWSGIMiddleware(
        app.wsgi_app,
        routes={
            "/chat/{id}": chat, "/stream": "chat", "/break": chat, "/boom": chat, "/status/{status}": chat,
            "/mounted/only/{id}": Feature("mounted"),
        },
    )  # fmt: skip
    app.wsgi_app = middleware  # type: ignore[method-assign]  # Flask's own way to add one
    return app.test_client()


def test_a_request_is_a_call_that_the_handler_can_tell_of(chat: Feature, client: Any) -> None:
    assert client.post("/chat/7").text == "hello 7"
    seen = recorded(chat)
    assert (seen.outcomes, seen.in_progress, seen.first_tokens) == ((1, 0, 0), 0, 0)
    assert seen.tokens == {("m", "input"): 3}
    assert not current_call()


def test_other_paths_are_none(chat: Feature, client: Any) -> None:
    assert client.get("/").status_code == 404
    assert client.options("/chat/7").status_code == 200
    assert recorded(chat).outcomes == (0, 0, 0)


def test_a_mounted_app_matches_by_its_whole_path_too(client: Any) -> None:
    mounted = Feature("mounted")
    environ = {"SCRIPT_NAME": "/mounted", "PATH_INFO": "/stream"}
    assert client.get("/stream", environ_overrides=environ, buffered=True).status_code == 200
    assert recorded(mounted).outcomes == (0, 0, 0)
    environ["PATH_INFO"] = "/chat/7"
    client.get("/chat/7", environ_overrides=environ, buffered=True)
    assert recorded(mounted).outcomes == (0, 0, 0), "the first route that matches counts"
    environ["PATH_INFO"] = "/only/7"
    client.get("/only/7", environ_overrides=environ, buffered=True)
    assert recorded(mounted).outcomes == (1, 0, 0)
    assert recorded(Feature("chat", models=["m"])).outcomes == (2, 0, 0)


def test_a_stream_is_one_call_to_its_last_part(chat: Feature, client: Any) -> None:
    response = client.get("/stream", buffered=False)
    parts = response.iter_encoded()
    assert next(parts) == b"part 0"
    assert recorded(chat).in_progress == 1
    assert not current_call(), "between its steps other code runs"
    assert list(parts) == [b"part 1", b"part 2"]
    assert (recorded(chat).outcomes, recorded(chat).first_tokens) == ((1, 0, 0), 1)
    response.close()
    assert recorded(chat).outcomes == (1, 0, 0)


def test_a_stream_closed_before_its_end_is_cancelled(chat: Feature, client: Any) -> None:
    response = client.get("/stream", buffered=False)
    next(response.iter_encoded())
    response.close()
    assert (recorded(chat).outcomes, recorded(chat).in_progress) == ((0, 0, 1), 0)


def test_a_stream_that_nobody_closes_ends_when_it_is_forgotten(chat: Feature) -> None:
    """As where a middleware around does not pass the closing on."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        yield b"b"

    response = FeatureWSGIMiddleware(app, {"/": chat})({"REQUEST_METHOD": "GET"}, lambda *_: None)
    assert next(iter(response)) == b"a"
    assert recorded(chat).in_progress == 1
    del response
    gc.collect()
    assert recorded(chat).outcomes == (0, 0, 1)
    assert recorded(chat).in_progress == 0


def test_a_stream_that_breaks_is_an_error(chat: Feature, client: Any) -> None:
    with pytest.raises(Boom):
        client.get("/break", buffered=True)
    assert recorded(chat).errors == {"Boom": 1}


def test_an_exception_is_counted_and_raised_on(chat: Feature, client: Any) -> None:
    client.application.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(Boom):
        client.get("/boom")
    client.application.config["PROPAGATE_EXCEPTIONS"] = False
    assert client.get("/boom", buffered=True).status_code == 500
    assert recorded(chat).errors == {"Boom": 1, "http_500": 1}


def test_the_status_decides(chat: Feature, client: Any) -> None:
    for status in (200, 404, 422, 429, 499, 503):
        client.get(f"/status/{status}", buffered=True)
    assert recorded(chat).outcomes == (3, 2, 1)
    assert recorded(chat).errors == {"http_429": 1, "http_503": 1}


def test_disabled_requests_pass_through(client: Any) -> None:
    featurewatch.configure(disabled=True)
    assert client.get("/status/200", buffered=True).status_code == 200
    assert RUNTIME.snapshots() == []
