"""Exchanges with a real Loki, recorded once and replayed where there is none.

`FEATUREWATCH_TEST_RECORD=1` with a `loki` on PATH records anew what a test asks.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import defaultdict, deque
from pathlib import Path
from typing import Any, Final

import httpx

FOLDER: Final = Path(__file__).parent / "recorded" / "loki_store"
RECORDING: Final = bool(os.environ.get("FEATUREWATCH_TEST_RECORD"))


def question(request: httpx.Request) -> str:
    """What tells a request from others: where it goes, and what it says."""
    query = sorted(request.url.params.multi_items())
    body = request.content
    if request.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    return f"{request.method} {request.url.path} {json.dumps(query)} {body.decode()}"


class Recorder(httpx.AsyncBaseTransport):
    """Passes requests on, and keeps what was asked and answered."""

    def __init__(self, name: str) -> None:
        self.exchanges: list[dict[str, Any]] = []
        self._name = name
        self._real = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        answer = await self._real.handle_async_request(request)
        await answer.aread()
        told = {"question": question(request), "status": answer.status_code, "body": _plain(answer)}
        self.exchanges.append(told)
        return httpx.Response(told["status"], text=told["body"])

    async def aclose(self) -> None:
        await self._real.aclose()

    def save(self) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(json.dumps(exchange, ensure_ascii=False) for exchange in self.exchanges)
        (FOLDER / f"{self._name}.json").write_text(f"[\n{lines}\n]\n")


class Replayer(httpx.AsyncBaseTransport):
    """Answers as Loki did, each question as often as it was asked."""

    def __init__(self, name: str) -> None:
        self._answers: dict[str, deque[httpx.Response]] = defaultdict(deque)
        for exchange in recorded(name):
            self._answers[exchange["question"]].append(httpx.Response(exchange["status"], text=exchange["body"]))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        asked = question(request)
        assert self._answers[asked], f"not recorded, run with FEATUREWATCH_TEST_RECORD=1: {asked[:500]}"
        return self._answers[asked].popleft()

    def left(self) -> int:
        """How many answers nobody asked for."""
        return sum(map(len, self._answers.values()))


def recorded(name: str) -> list[dict[str, Any]]:
    return list(json.loads((FOLDER / f"{name}.json").read_text()))


def _plain(answer: httpx.Response) -> str:
    """The answer without its statistics, which are different each time."""
    try:
        told = answer.json()
    except ValueError:
        return answer.text
    if isinstance(told, dict) and isinstance(told.get("data"), dict):
        told["data"].pop("stats", None)
    return json.dumps(told, ensure_ascii=False)
