"""Answer "how do I …" from the index, word by word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from .search import Hit, Index
from .tokens import count_tokens

_LEAST_COVERAGE: Final = 0.55
_SECONDS_PER_PROMPT_TOKEN: Final = 0.0004
_SECONDS_PER_TOKEN: Final = 0.022
_LONGEST_QUOTE: Final = 700


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer ready to be told, and the prompt (question and passages read) that it was made from."""

    text: str
    prompt_tokens: int
    sources: tuple[str, ...]
    coverage: float


def answer(index: Index, question: str) -> Answer | None:
    """Answer from the passages that fit the question; None where the corpus says too little about it.

    Raises:
        EmptyInput: the question has no word to search by.
    """
    hits = index.search(question, limit=4)
    if not hits or hits[0].coverage < _LEAST_COVERAGE:
        return None
    prompt = question + "\n".join(hit.passage.text for hit in hits)
    lead = next((hit for hit in hits if hit.passage.kind == "function" and hit.coverage >= hits[0].coverage), hits[0])
    text = "\n\n".join([_lead(lead), *_others([hit for hit in hits if hit is not lead])])
    return Answer(text, count_tokens(prompt), tuple(hit.passage.name for hit in hits), hits[0].coverage)


async def tell(reply: Answer, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> AsyncIterator[str]:
    """Give out an answer word by word at a language model's pace.

    The search behind the answer takes milliseconds and the words are all there at once. So that this streams as a
    model does, the first word waits as long as reading the prompt would take one (0.4 ms a token) and each word as
    long as writing it (22 ms a token). These are the only waits in the demo's work; nothing in them is drawn by lot.
    """
    await sleep(reply.prompt_tokens * _SECONDS_PER_PROMPT_TOKEN)
    for word in reply.text.split(" "):
        yield word + " "
        await sleep(count_tokens(word) * _SECONDS_PER_TOKEN)


def _lead(hit: Hit) -> str:
    passage = hit.passage
    if passage.kind == "module":
        return f"The module {passage.name} is for that. {_quote(passage.text)}"
    return f"Use {passage.signature}. {_quote(passage.text)}"


def _others(hits: list[Hit]) -> list[str]:
    near = [f"{hit.passage.name} ({hit.passage.first_sentence})" for hit in hits if hit.coverage >= _LEAST_COVERAGE]
    return [f"See also {', '.join(near)}."] if near else []


def _quote(text: str) -> str:
    """Shorten at the end of a paragraph, so that no sentence breaks off."""
    quoted = ""
    for paragraph in text.split("\n\n"):
        if quoted and len(quoted) + len(paragraph) > _LONGEST_QUOTE:
            break
        quoted += " ".join(paragraph.split()) + " "
    return quoted.strip()
