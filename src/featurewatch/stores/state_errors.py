"""What a database driver raises, told as one of our errors in one line that holds no password."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError, StatementError

from ..errors import BadInput, FeaturewatchError, StoreFull, StoreLocked, Unavailable
from . import sqlite

_POSTGRES: Final[tuple[tuple[str, type[Unavailable], str], ...]] = (
    ("53100", StoreFull, "its disk is full: free some space there, what comes after that is kept again"),
    ("53300", Unavailable, "it has no connection left: raise max_connections or run fewer bridges"),
    ("55P03", StoreLocked, "another session holds its tables for too long: look into pg_stat_activity"),
    ("57014", Unavailable, "it took too long to answer"),
    ("25006", Unavailable, "it is read-only (a standby?): name the primary in DATABASE_URL"),
    ("28", Unavailable, "it refused the user or the password of DATABASE_URL"),
    ("3D000", Unavailable, "it has no database of this name: create it"),
    ("42501", Unavailable, "the user lacks a right: grant it CREATE and USAGE on the schema"),
)
"""By SQLSTATE or its class: https://www.postgresql.org/docs/current/errcodes-appendix.html"""


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Raise what the driver says as the error that `explain` makes of it; our own errors pass as they are."""
    try:
        yield
    except (sqlite3.Error, SQLAlchemyError, UnicodeError, OverflowError, OSError) as error:
        raise explain(error, url) from error


def explain(error: Exception, url: URL) -> FeaturewatchError:
    """Make the one line that names the database, what is wrong with it, and what to do."""
    cause: Any = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    if isinstance(cause, sqlite3.DataError | UnicodeError | OverflowError) or type(cause).__name__ == "DataError":
        return BadInput(f"a value cannot be stored ({_line(cause, url)})")
    if isinstance(cause, sqlite3.Error):
        return sqlite.explain(cause, Path(url.database or ""))
    code = str(getattr(cause, "sqlstate", None) or "")
    for prefix, kind, advice in _POSTGRES:
        if code.startswith(prefix):
            return kind(f"{shown(url)}: {advice}")
    return Unavailable(f"{shown(url)}: {_line(cause, url)}")


def shown(url: URL) -> str:
    """Name a database to a person: its file, or user, host and database; never a password or an option."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    bare = URL.create(url.get_backend_name(), url.username, None, url.host, url.port, url.database)
    return bare.render_as_string()


def _line(cause: BaseException, url: URL) -> str:
    text = " ".join(str(cause).split()) or type(cause).__name__
    if url.password:
        text = text.replace(str(url.password), "***")
    return text if len(text) <= 300 else text[:300] + "…"
