"""A Celery worker whose tasks are calls of a feature.

    pip install . celery                    # in this checkout
    FEATUREWATCH_ENDPOINT=http://127.0.0.1:8400 celery -A examples.celery_app worker
    python -c 'from examples.celery_app import *; print(summarize_text.delay("a long text").get(timeout=60))'

A prefork worker's children are processes of their own: each pushes its own figures, and the bridge adds them up. Two
folders stand in for a broker and its results; yours has an address, `CELERY_BROKER_URL=redis://…`. Run by itself, this
file executes its tasks in its own process:

    python examples/celery_app.py
"""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery
from celery.signals import worker_process_shutdown

import featurewatch

summarize = featurewatch.Feature("summarize", name="Summaries", owner="docs", models=["gpt-5-mini"])

queue = Path(os.environ.get("SHOP_QUEUE", ".celery")).absolute()
app = Celery("shop", broker="filesystem://", backend=f"file://{queue}/results")
app.conf.broker_transport_options = {
    "data_folder_in": queue / "messages",
    "data_folder_out": queue / "messages",
    "control_folder": queue / "control",
}


class Overloaded(Exception):
    """The model's provider has no room now."""


@worker_process_shutdown.connect
def send_the_rest(**about: object) -> None:
    """Send what is left when a worker's child ends: Celery ends it without running what atexit registered."""
    featurewatch.flush()


@app.task(bind=True, autoretry_for=(Overloaded,), max_retries=2, default_retry_delay=0)
@summarize.track
def summarize_text(self, text: str) -> str:  # type: ignore[no-untyped-def]  # self is Celery's
    """Each run of the task is a call: one that Celery retries ended as an error, and its next run is another call.

    A retry inside of it would be none: `call.retry()`.
    """
    call = featurewatch.current_call()
    call.tokens(input=len(text.split()), output=8)
    if "busy" in text and self.request.retries == 0:
        raise Overloaded
    return text[:60]


for folder in ("messages", "control", "results"):
    (queue / folder).mkdir(parents=True, exist_ok=True)

if __name__ == "__main__":
    app.conf.task_always_eager = True
    print(summarize_text.delay("featurewatch makes the feature the unit").get())
    print(summarize_text.delay("busy at first").get())
    featurewatch.flush()
