"""PostgreSQL, where the state is kept there: whether it answers, how old it is, and what time it is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ..errors import SettingsError
from ..times import NS
from .findings import Finding, broken, fine
from .upstreams import clock as judge_clock
from .upstreams import recent

__all__ = ["examine_database"]


async def examine_database(url: str, *, clock: Callable[[], int] = time.time_ns) -> list[Finding]:
    """Look at the database of DATABASE_URL; nothing where it is a SQLite file. The password is never shown."""
    if not url or url.startswith("sqlite"):
        return []
    return await asyncio.to_thread(_examine, url, clock)


def _examine(url: str, clock: Callable[[], int]) -> list[Finding]:
    from sqlalchemy import make_url, text
    from sqlalchemy.exc import SQLAlchemyError

    from ..stores.state_engine import open_engine

    try:
        parsed = make_url(url)
        engine = open_engine(url)
    except (SettingsError, SQLAlchemyError) as error:
        said = error.message if isinstance(error, SettingsError) else "DATABASE_URL cannot be read"
        return [broken("database", "DATABASE_URL", said, "set FEATUREWATCH_DATABASE_URL as the message says")]
    host = parsed.host or parsed.query.get("host") or "localhost"
    subject = f"PostgreSQL at {host}:{parsed.port or 5432}/{parsed.database or ''}"
    try:
        with engine.connect() as connection:
            version = str(connection.execute(text("SHOW server_version")).scalar())
            told = connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar()
            ahead = float(told or 0) - clock() / NS
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error))
        return [
            broken(
                "database",
                subject,
                f"it cannot be used: {_without(reason, parsed.password)}",
                "start it, or set FEATUREWATCH_DATABASE_URL to where it is, with a user that may create tables",
            )
        ]
    finally:
        engine.dispose()
    return [
        fine("database", subject, "answers"),
        recent(subject, version, (12, 0), "is no longer maintained"),
        judge_clock(subject, ahead),
    ]


def _without(text: str, secret: str | None) -> str:
    return text.replace(str(secret), "…") if secret else text
