"""Real servers for the tests against the stack."""

from __future__ import annotations

from alertmanager import own_alertmanager as own_alertmanager
from alertmanager import sink as sink
from exporter.conftest import fresh as fresh
from loki import loki as loki
from loki import own_loki as own_loki
