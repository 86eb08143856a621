"""Real servers for the tests against the stack."""

from __future__ import annotations

from alertmanager import own_alertmanager as own_alertmanager
from alertmanager import sink as sink
from exporter.conftest import fresh as fresh
