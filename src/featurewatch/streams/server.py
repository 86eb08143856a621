"""What uvicorn's WebSocket lacks for streams: frames made once for all, and an end for clients that never read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets import http11
from websockets.http11 import Request

__all__ = ["FRAMES", "StreamProtocol", "uvicorn_options"]

FRAMES: Final = "featurewatch.frames"
"""An ASGI extension: a `websocket.send` may carry, under this name, text frames that are ready for the wire.

A frame that a server sends is not masked, so that all clients receive the same bytes: they are made once. The
extension's `write` writes them at once, without the coroutines of a `send`, or says that it has to wait.
"""

LINE_BYTES: Final = 64 * 1024
"""How long the request line and each header may be, as over HTTP; websockets takes 8 KB.

A thousand features in the address are more than that, and so are the cookies of some sites.
"""

ABORT_S: Final = 10.0
"""A client has so long to answer a close, and to take what was written before it, until the socket is cut."""


class StreamProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket with the extension `featurewatch.frames`, and closes that do not wait for the client.

    Where writing is paused, since the client does not read, uvicorn's `send` waits, a close too, and a transport
    that is closed waits for its buffer to empty: such a socket would stay for ever.
    """

    _refused = False

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        # Compressed frames differ by connection: there they are left to uvicorn.
        if self.response.status_code == 101 and not self.conn.extensions:
            self.scope["extensions"][FRAMES] = {"write": self.write_now}

    def write_now(self, frames: bytes) -> bool:
        """Write frames that are ready for the wire, where that needs no waiting; whether they were written."""
        if not self.writable.is_set() or self.disconnected or self.close_sent or self.transport.is_closing():
            return False
        self.transport.write(frames)
        return True

    async def send(self, message: Any) -> None:
        frames = message.get(FRAMES)
        if frames is not None:
            await self.writable.wait()
            if self.disconnected or self.close_sent or self.transport.is_closing():
                raise ClientDisconnected
            self.transport.write(frames)
            return
        if message["type"] != "websocket.close" or not self.handshake_complete:
            await super().send(message)
            return
        self.writable.set()
        await super().send(message)
        if self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(ABORT_S, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        # Nothing is read of a client that was told why it goes, but the socket must be emptied: what lies unread in it
        # when it is closed makes the system take back the close that is on its way.
        if self._refused:
            return
        super().data_received(data)
        if not self.handshake_initiated and self.conn.handshake_exc is not None:
            # uvicorn waits for the event of a request, which a refused one does not make, and would never answer.
            self._refused = True
            answer = b"".join(self.conn.data_to_send())
            self.transport.write(
                answer or b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not _is_text(self.frames):
            # uvicorn would write a traceback for each such message into the log.
            self.frames = []
            self.conn.send_close(1007, "a text is UTF-8")
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Say what was wrong, and give the client time to hear it: it may be in the middle of ten megabytes."""
        self._refused = True
        told = self.conn.close_sent
        assert told is not None
        self.queue.put_nowait({"type": "websocket.disconnect", "code": told.code, "reason": told.reason})
        self.stop_keepalive()
        self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.write_eof()
        self.read_paused = False
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(ABORT_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(ABORT_S, self.transport.abort)


def _is_text(frames: Sequence[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True


def uvicorn_options(max_message_bytes: int) -> Mapping[str, Any]:
    """Return what `uvicorn.Config` needs for the streams.

    The ping's time-out is longer than the time after which a client that does not read is closed with 1013, so that
    it is told the reason. Compression would cost each socket 50 KB.
    """
    http11.MAX_LINE_LENGTH = max(http11.MAX_LINE_LENGTH, LINE_BYTES)  # for all of the process; there is no other way
    return {
        "ws": StreamProtocol,
        "ws_max_size": max_message_bytes,
        "ws_per_message_deflate": False,
        "ws_ping_interval": 20.0,
        "ws_ping_timeout": 60.0,
    }
