"""A FastAPI app with two features: one counted by its route, one that streams.

pip install '.[bridge]'                 # in this checkout
featurewatch serve &                    # or leave it out: /metrics alone needs no bridge
FEATUREWATCH_ENDPOINT=http://127.0.0.1:8400 uvicorn examples.fastapi_app:app

curl -X POST 'http://127.0.0.1:8000/summarize?text=a+long+text'
curl -N 'http://127.0.0.1:8000/chat?question=why'
curl http://127.0.0.1:8000/metrics
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse

import featurewatch

summarize = featurewatch.Feature("summarize", name="Summaries", owner="docs", models=["gpt-5-mini"])
chat = featurewatch.Feature("chat", name="Chat", owner="support", models=["gpt-5"])

logging.basicConfig(level="INFO")
logging.getLogger().addHandler(featurewatch.LogHandler())
log = logging.getLogger("shop")

app = FastAPI()
app.add_middleware(featurewatch.FeatureMiddleware, routes={"POST /summarize": summarize})
featurewatch.metrics_route(app)


@app.post("/summarize")
async def summarize_text(text: str) -> dict[str, str]:
    """Counted by the middleware; what only the handler knows it tells the running call."""
    if not text.strip():
        raise HTTPException(422, "there is nothing to summarize")
    call = featurewatch.current_call()
    call.tokens(input=len(text.split()), output=8)
    log.info("summarized %d characters", len(text))
    return {"summary": text[:60]}


async def answer(question: str) -> AsyncIterator[str]:
    """Stand in for a model that streams."""
    for word in f"You asked: {question}".split():
        await asyncio.sleep(0.01)
        yield word + " "


@app.get("/chat")
async def chat_with(question: str) -> StreamingResponse:
    """Counted to the last word; a reader who leaves in the middle is a cancelled call."""

    async def words() -> AsyncIterator[str]:
        async with chat.stream(lambda: answer(question)) as reply:
            async for word in reply:
                yield word
            reply.tokens(input=len(question.split()), output=3 + len(question.split()))

    return StreamingResponse(words(), media_type="text/plain")
