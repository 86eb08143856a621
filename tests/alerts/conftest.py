from __future__ import annotations

from prometheus import own_prometheus, prometheus  # fixtures

__all__ = ["own_prometheus", "prometheus"]
