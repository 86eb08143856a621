"""Which features there are, and where: what was declared, measured or just arrived, kept in memory."""

from __future__ import annotations

from collections.abc import Collection

from .errors import NotFound
from .model import FeatureKey, choose_environment


def unknown_feature(feature: str) -> NotFound:
    """Make the error for a feature that does not exist, and equally for one that the caller may not see."""
    return NotFound(f"feature {feature!r} is not known: it is listed once it was declared or has sent something")


class Directory:
    """Environments by feature. `revision` grows with each change, so that what was derived can be kept."""

    def __init__(self) -> None:
        self._environments: dict[str, frozenset[str]] = {}
        self._size = 0
        self.revision = 0

    def __len__(self) -> int:
        """Return how many there are, each environment of a feature by itself."""
        return self._size

    def note(self, keys: Collection[FeatureKey]) -> list[FeatureKey]:
        """Note that features exist in environments; return those that were new."""
        new = []
        for key in keys:
            known = self._environments.get(key.feature, frozenset())
            if key.environment not in known:
                self._environments[key.feature] = known | {key.environment}
                new.append(key)
        self._size += len(new)
        self.revision += bool(new)
        return new

    def unknown(self, keys: Collection[FeatureKey]) -> list[FeatureKey]:
        """Return those of the keys that were not noted, sorted."""
        return sorted({key for key in keys if key.environment not in self._environments.get(key.feature, ())})

    def forget(self, keep: Collection[FeatureKey]) -> None:
        """Forget all but `keep`."""
        kept = set(keep)
        gone = [key for key in self.keys() if key not in kept]
        for key in gone:
            left = self._environments[key.feature] - {key.environment}
            if left:
                self._environments[key.feature] = left
            else:
                del self._environments[key.feature]
        self._size -= len(gone)
        self.revision += bool(gone)

    def features(self) -> list[str]:
        return sorted(self._environments)

    def keys(self) -> list[FeatureKey]:
        return [FeatureKey(feature, name) for feature, names in self._environments.items() for name in names]

    def choose(self, feature: str) -> str | None:
        """Choose the environment that an unspecific request means, None for an unknown feature."""
        return choose_environment(self._environments.get(feature, frozenset()))
