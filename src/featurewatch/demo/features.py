"""The app's features: each declared once, each instrumented in another way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from typing import Final, TypeAlias

import featurewatch

from .corpus import passages
from .deadline import Deadline
from .explain import answer, tell
from .extract import extract
from .library import Library
from .logs import log, loguru_or_logging, request
from .review import review
from .rewrite import rewrite
from .summarize import summarize
from .tokens import count_tokens
from .workload import Wish

Handler: TypeAlias = Callable[[Wish], Awaitable[None]]

_SLOW_SECONDS: Final = 0.1
_MACHINE_USD_PER_HOUR: Final = 1.20


def declare(library: Library, names: Collection[str]) -> dict[str, Handler]:
    """Declare features and give out what serves each. All series of a feature exist, at 0, from here on."""
    return {name: _FEATURES[name](library) for name in names}


def _search(library: Library) -> Handler:
    """Show the plainest way, a `with` block: what is inside it is the call. The declared model gives the price."""
    feature = featurewatch.Feature("search", name="Search", owner="search", version="2.3", models=["gpt-5-nano"])

    async def handle(wish: Wish) -> None:
        with feature.call() as call:
            if (step := request.get()) is not None:
                call.trace(step.trace_id)  # an exemplar: a dot on the latency that leads to the lines of this call
            hits = library.index.search(wish.text)
            found = "\n".join(hit.passage.first_sentence for hit in hits)
            call.tokens(input=count_tokens(wish.text), output=count_tokens(found))
            best, score = (hits[0].passage.name, round(hits[0].score, 2)) if hits else ("nothing", 0.0)
            log.info("%r found %s", wish.text, best, extra={"hits": len(hits), "score": score})

    return handle


def _classify(library: Library) -> Handler:
    """Show an error that is no exception: a text of which too few words are known is refused."""
    feature = featurewatch.Feature("classify", name="Classify", owner="docs", models=["claude-haiku-4-5"])
    say = loguru_or_logging()

    async def handle(wish: Wish) -> None:
        with feature.call() as call:
            call.tokens(input=count_tokens(wish.text))
            label = library.classifier.classify(wish.text)
            if label is None:
                call.fail("refused")
                say("WARNING", f"refused to classify {wish.subject}: too few known words")
                return
            call.tokens(output=count_tokens(label.subject))
            confidence = round(label.confidence, 3)
            say("INFO", f"{wish.subject} is about {label.subject}", confidence=confidence, known=label.known_terms)

    return handle


def _summarize(library: Library) -> Handler:
    """Show a decorated function that runs in a thread: the call goes where the function runs."""
    feature = featurewatch.Feature("summarize", name="Summaries", owner="docs", version="1.4", models=["gpt-5-mini"])

    @feature.track
    def run(wish: Wish) -> None:
        log.debug("summarising %s", wish.subject, extra={"characters": len(wish.text)})
        started = time.perf_counter()
        summary = summarize(wish.text, Deadline(0.25))
        seconds = round(time.perf_counter() - started, 4)
        featurewatch.current_call().tokens(input=count_tokens(wish.text), output=count_tokens(summary.text))
        about = {"sentences": summary.sentences, "seconds": seconds}
        if seconds > _SLOW_SECONDS:
            log.warning("slow: %s has %d sentences", wish.subject, summary.sentences, extra=about)
        log.info("summarised %s: %d → %d words", wish.subject, summary.words_before, summary.words_after, extra=about)

    return lambda wish: asyncio.to_thread(run, wish)


def _extract(library: Library) -> Handler:
    """Show exceptions: the call becomes an error named by the exception's class, and the exception goes on its way."""
    feature = featurewatch.Feature("extract", name="Extract facts", owner="data", models=["gemini-2.5-flash"])

    @feature.track
    def run(wish: Wish) -> None:
        source = wish.sources[0]
        log.debug("reading %s", source.name, extra={"bytes": source.size})
        text = source.read()
        featurewatch.current_call().tokens(input=count_tokens(text))
        facts = extract(text)
        shown = "\n".join(facts.functions + facts.classes + facts.urls + facts.notes)
        featurewatch.current_call().tokens(output=count_tokens(shown))
        about = {"functions": len(facts.functions), "constants": len(facts.constants), "urls": len(facts.urls)}
        log.info("extracted %d facts from %s", len(facts), source.name, extra=about)

    return lambda wish: asyncio.to_thread(run, wish)


def _explain(library: Library) -> Handler:
    """Show a stream: an asynchronous generator is one call, to its last word; a reader who leaves cancels it."""
    feature = featurewatch.Feature(
        "explain", name="Explain", owner="assistant", models=["claude-sonnet-4-5"], budget_usd_per_day=20
    )

    @feature.track
    async def words(question: str) -> AsyncGenerator[str, None]:
        call = featurewatch.current_call()
        reply = await asyncio.to_thread(answer, library.index, question)
        if reply is None:
            call.fail("refused")
            log.warning("refused %r: the documentation does not cover it", question)
            return
        call.tokens(input=reply.prompt_tokens)
        about = {"sources": list(reply.sources), "coverage": round(reply.coverage, 2)}
        log.debug("answering %r", question, extra=about)
        async for word in tell(reply):
            call.tokens(output=count_tokens(word))
            yield word
        log.info("explained %r in %d words", question, len(reply.text.split()), extra=about)

    async def handle(wish: Wish) -> None:
        heard = 0
        async with aclosing(words(wish.text)) as reading:
            async for _ in reading:
                heard += 1
                if heard == wish.patience:
                    log.info("the reader left after %d words", heard, extra={"feature": "explain"})
                    break

    return handle


def _rewrite(library: Library) -> Handler:
    """Show a choice of models, one of them without a price: its calls are counted as unpriced, never as free."""
    models = ["mistral-small-latest", "house-writer-2"]
    feature = featurewatch.Feature("rewrite", name="Rewrite as Markdown", owner="docs", models=models)

    def run(wish: Wish) -> None:
        source = wish.sources[0]
        with feature.call(model=models[source.size > 20_000]) as call:
            text = source.read()
            page = rewrite(passages(source, text))
            call.tokens(input=count_tokens(text), output=count_tokens(page))
            log.info("rewrote %s: %d lines", source.name, page.count("\n"), extra={"model": call.model})

    return lambda wish: asyncio.to_thread(run, wish)


def _review(library: Library) -> Handler:
    """Show a cost that the app knows best, its own machine's time: reported, not estimated. Rare and slow."""
    feature = featurewatch.Feature("review", name="Review docs", owner="quality", models=["house-reviewer-1"])

    def run(wish: Wish) -> None:
        started = time.thread_time()
        with feature.call() as call:
            try:
                found = review(wish.sources, Deadline(0.6))
            finally:
                call.cost(usd=(time.thread_time() - started) * _MACHINE_USD_PER_HOUR / 3600)
            call.tokens(input=found.tokens_read)
            about = {"modules": found.modules, "definitions": found.public, "longest": found.longest_undocumented}
            log.info("reviewed %s: %.0f %% documented", wish.subject, found.coverage, extra=about)

    return lambda wish: asyncio.to_thread(run, wish)


_FEATURES: Final[Mapping[str, Callable[[Library], Handler]]] = {
    "search": _search,
    "classify": _classify,
    "summarize": _summarize,
    "extract": _extract,
    "explain": _explain,
    "rewrite": _rewrite,
    "review": _review,
}
