"""An SQLAlchemy engine for the state: the same transactions on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import orjson
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from .. import wire
from ..errors import SettingsError
from . import sqlite

__all__ = ["WRITES", "open_engine"]

WRITES: Final = "featurewatch_writes"
"""Execution option of a connection whose transaction writes: it takes the lock before it reads."""

_EXPECTED: Final = "DATABASE_URL: expected sqlite:///file or postgresql://user:password@host/name"

_LOCK: Final = 7_305_793_221
"""PostgreSQL's advisory lock that one writer at a time holds: so events commit in the order of their positions."""

_POSTGRES_DEFAULTS: Final = {"connect_timeout": "5", "tcp_user_timeout": "15000", "application_name": "featurewatch"}


def open_engine(url: str | URL) -> Engine:
    """Make an engine without connecting.

    A transaction whose connection has the option `WRITES` excludes every other writer from its begin on: BEGIN
    IMMEDIATE in SQLite, an advisory lock in PostgreSQL, where a lock is waited for 10 s and a statement for 30 s.

    Raises:
        SettingsError: the URL is none, names another database, or PostgreSQL's driver is not installed.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError):
        raise SettingsError(f"{_EXPECTED}, got another text") from None
    if backend == "sqlite":
        return _sqlite(parsed)
    if backend in ("postgresql", "postgres"):
        return _postgres(parsed)
    raise SettingsError(f"{_EXPECTED}, got {backend}://…")


def _sqlite(url: URL) -> Engine:
    if url.database in (None, "", ":memory:"):
        raise SettingsError(f"{_EXPECTED}, got SQLite without a file")
    path = Path(str(url.database))
    engine = create_engine(
        url.set(drivername="sqlite"),
        creator=lambda: sqlite.connect(path),
        json_serializer=_encode,
        json_deserializer=orjson.loads,
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgres(url: URL) -> Engine:
    missing = {name: value for name, value in _POSTGRES_DEFAULTS.items() if name not in url.query}
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg").update_query_dict(missing),
            pool_pre_ping=True,
            json_serializer=_encode,
            json_deserializer=orjson.loads,
        )
    except ImportError:
        raise SettingsError("DATABASE_URL names PostgreSQL: pip install 'featurewatch[postgres]'") from None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        limits = "SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '30s'"
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql(f"{limits}; SELECT pg_advisory_xact_lock({_LOCK})" if writes else limits)

    return engine


def _encode(value: object) -> str:
    return wire.dump(value).decode()
