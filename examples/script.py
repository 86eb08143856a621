"""A nightly job: a process that lives for a moment and loses nothing.

    FEATUREWATCH_ENDPOINT=http://127.0.0.1:8400 python examples/script.py

With FEATUREWATCH_MODE=events, as for a serverless function, each call is sent by itself and the bridge counts.
"""

from __future__ import annotations

import logging

import featurewatch

nightly = featurewatch.Feature("nightly-digest", name="Nightly digest", owner="docs", models=["gpt-5-mini"])

logging.getLogger().setLevel("INFO")
logging.getLogger().addHandler(featurewatch.LogHandler())
log = logging.getLogger("digest")


class Overloaded(Exception):
    """The model's provider has no room now."""


def ask(text: str, attempt: int) -> str:
    """Stand in for a model that has no room at first."""
    if attempt == 0:
        raise Overloaded
    return text[:60]


def digest(text: str) -> str:
    """Ask up to three times: one call, however many attempts."""
    with nightly.call() as call:
        for attempt in range(3):
            try:
                answer = ask(text, attempt)
            except Overloaded:
                log.warning("attempt %d found no room", attempt + 1)
                call.retry()
                continue
            call.tokens(input=len(text.split()), output=len(answer.split()))
            log.info("digested %d characters", len(text))
            return answer
        raise Overloaded


if __name__ == "__main__":
    for text in ("What happened in the shop today.", "What will happen tomorrow."):
        print(digest(text))
