"""What all tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings

from loki import loki as loki
from loki import loki_of_tenants as loki_of_tenants
from loki import own_loki as own_loki
from prometheus import own_prometheus as own_prometheus
from prometheus import prometheus as prometheus
from prometheus import victoriametrics as victoriametrics

# How long one example takes says more of the machine than of the code.
settings.register_profile("featurewatch", deadline=None)
settings.load_profile("featurewatch")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
