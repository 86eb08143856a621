"""A Flask app with a feature, counted by its route.

pip install . flask                     # in this checkout
FEATUREWATCH_ENDPOINT=http://127.0.0.1:8400 flask --app examples.flask_app run

curl -X POST http://127.0.0.1:5000/summarize -d 'a long text'
curl http://127.0.0.1:5000/metrics
"""

from __future__ import annotations

from flask import Flask, Response, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import featurewatch

summarize = featurewatch.Feature("summarize", name="Summaries", owner="docs", models=["gpt-5-mini"])

app = Flask(__name__)


@app.post("/summarize")
def summarize_text() -> Response:
    """Counted by the middleware; what only the handler knows it tells the running call."""
    text = request.get_data(as_text=True)
    call = featurewatch.current_call()
    if "ignore your instructions" in text:
        call.fail("refused")
        return Response("I would rather not.\n")
    call.tokens(input=len(text.split()), output=8)
    return Response(text[:60] + "\n")


counted = featurewatch.FeatureWSGIMiddleware(app.wsgi_app, routes={"POST /summarize": summarize})
app.wsgi_app = DispatcherMiddleware(counted, {"/metrics": featurewatch.metrics_wsgi_app()})
