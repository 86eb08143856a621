"""Whether this process is one of several workers, each of which would answer a scrape with figures of its own alone."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Final

ADVICE: Final = (
    "%s: a scrape of /metrics reaches one of them at random and shows that one's figures alone, so counters jump; set "
    "FEATUREWATCH_MULTIPROCESS_DIR (or configure(multiprocess_dir=…)) to a folder that all workers may write to"
)

_GUNICORN_CONFIG: Final = "gunicorn.conf.py"


def reason(*, forked: bool) -> str:
    """Say by what this process is seen to be a worker among others; empty where it is not.

    Args:
        forked: whether it was forked after featurewatch was first used.
    """
    multiprocessing = sys.modules.get("multiprocessing.process")
    child = multiprocessing is not None and multiprocessing.parent_process() is not None
    return judge(os.environ, sys.argv, forked=forked, child=child, configured=os.path.exists(_GUNICORN_CONFIG))


def judge(environ: Mapping[str, str], argv: Sequence[str], *, forked: bool, child: bool, configured: bool) -> str:
    """Judge by what is known of the process.

    Args:
        child: whether multiprocessing made it, as uvicorn does with its workers.
        configured: whether gunicorn finds a configuration file, which may name any number of workers.
    """
    if environ.get("SERVER_SOFTWARE", "").startswith("gunicorn"):
        arguments = [*argv[1:], *_split(environ.get("GUNICORN_CMD_ARGS", ""))]
        workers = _workers(arguments) or environ.get("WEB_CONCURRENCY", "").strip()
        if not workers and not configured and not any(re.match("-c|--config", argument) for argument in arguments):
            return ""
        return "" if workers == "1" else f"gunicorn runs {workers or 'any number of'} workers"
    if child and "--reload" not in argv:
        return "this is one of several worker processes"
    return "this process was forked from another that uses featurewatch" if forked else ""


def _workers(arguments: Sequence[str]) -> str:
    """Find what gunicorn's -w or --workers says."""
    found = re.search(r"(?:^|\s)(?:-w\s*|--workers[=\s])(\d+)", " ".join(arguments))
    return found[1] if found else ""


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
