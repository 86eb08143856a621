"""Real servers for the tests of publishing."""

from __future__ import annotations

from alertmanager import own_alertmanager as own_alertmanager
from alertmanager import sink as sink
from prometheus import own_prometheus as own_prometheus
