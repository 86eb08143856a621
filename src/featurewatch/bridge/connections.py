"""What uvicorn's HTTP lacks at an open door: an end for requests that never come whole, and for idle readers.

Each connection holds a file open and some memory; who sends a header a byte a minute would hold them for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["PatientProtocol"]

HEAD_S: Final = 30.0
"""How long a request's line and headers may take to come."""
HEAD_BYTES: Final = 64 * 1024
"""How large they may be, together."""
LINGER_S: Final = 10.0
"""How long the rest of a body may come that was answered before it was read, so that the client reads the answer."""
STALLED_S: Final = 60.0
"""How long a client may read nothing of an answer."""


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 whose patience ends. A body's own pace is `bodies.read_raw`'s matter."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._reading: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._head = 0
        self._in_head = True
        self._begun = False
        self._in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._expect(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        self._drain(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head += len(data)
            if self._reading is None:
                self._expect(HEAD_S)
        super().data_received(data)
        if self._in_head and self._head > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The request line and headers exceed {HEAD_BYTES} bytes.")

    def handle_websocket_upgrade(self) -> None:
        self._expect(None)
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun = True

    def on_headers_complete(self) -> None:
        self._in_head, self._begun, self._in_body, self._head = False, False, True, 0
        self._expect(None)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._in_body = True, False
        # uvicorn's own patience with an idle connection ended when the rest of this body came after its answer.
        self._expect(HEAD_S if self.cycle is not None and self.cycle.response_complete else None)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if (self._in_body or self._begun) and not self.transport.is_closing():
            self._expect(LINGER_S if self._in_body else HEAD_S)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._drain(STALLED_S)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._drain(None)

    def _expect(self, seconds: float | None) -> None:
        """Give up the connection after so many seconds; None: what was expected came."""
        if self._reading is not None:
            self._reading.cancel()
        self._reading = None if seconds is None else self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        self._reading = None
        # While an answer runs (a stream, say) what the client sends meanwhile is no reason to end it.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _drain(self, seconds: float | None) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
        # Closing would wait for what the client does not read.
        self._stalled = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)
