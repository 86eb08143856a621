"""A bridge, asked from Python: figures, lines, and a stream that outlives restarts. Install featurewatch[client].

async with AsyncClient("http://127.0.0.1:8400") as client:
    async for message in client.stream("summarize"):
        for entry in message.entries:
            print(entry.level, entry.message)

`Client` is the same for programs without asyncio. Errors are those of `featurewatch.errors`.
"""

from .asynchronous import AsyncClient
from .credential import TokenSource
from .messages import (
    Alert,
    AlertMessage,
    AlertResolved,
    AlertTriggered,
    AlertUpdated,
    Connected,
    Disconnected,
    Gap,
    LogEntry,
    LogHistory,
    LogLine,
    Message,
    MetricsUpdate,
    Refused,
    StatusChange,
    TestResult,
    TransportChanged,
)
from .stream import Stream
from .synchronous import Client, SyncStream

__all__ = [
    "Alert", "AlertMessage", "AlertResolved", "AlertTriggered", "AlertUpdated", "AsyncClient", "Client", "Connected",
    "Disconnected", "Gap", "LogEntry", "LogHistory", "LogLine", "Message", "MetricsUpdate", "Refused", "StatusChange",
    "Stream", "SyncStream", "TestResult", "TokenSource", "TransportChanged",
]  # fmt: skip
