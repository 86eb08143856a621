"""Who gets what: selectors, and the targets that they lead to, looked up once for each feature."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Generic, TypeVar

from ..directory import Directory
from ..model import FeatureKey

EVERY: Final = "*"

Target = TypeVar("Target")


@dataclass(frozen=True, slots=True)
class Selector:
    """One feature, or `*` for those that match `patterns` and are not `excluded`, in one environment.

    `environment` None follows the feature's own choice: production, else staging, else what there is.
    """

    feature: str
    environment: str | None = None
    patterns: tuple[str, ...] = ()
    excluded: frozenset[str] = frozenset()

    def matches(self, key: FeatureKey, chosen: str | None) -> bool:
        return (self.environment or chosen) == key.environment and self.selects(key.feature)

    def may_match(self, feature: str | None) -> bool:
        """Tell whether something of a feature (None: of an unknown one) may match, in some environment."""
        return feature is None or self.selects(feature)

    def selects(self, feature: str) -> bool:
        if self.feature != EVERY:
            return self.feature == feature
        return feature not in self.excluded and any(fnmatchcase(feature, pattern) for pattern in self.patterns)


def features_of(selectors: Iterable[Selector]) -> frozenset[str] | None:
    """Return the features that selectors name; None: everybody's."""
    features = frozenset(selector.feature for selector in selectors)
    return None if EVERY in features else features


class Routes(Generic[Target]):
    """A table of targets by selector. Distinct selectors are few, whatever the number of clients."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._targets: dict[Hashable, tuple[Selector, Target]] = {}
        self._found: dict[FeatureKey, tuple[Target, ...]] = {}
        self._revision = -1

    def get(self, name: Hashable) -> Target | None:
        known = self._targets.get(name)
        return None if known is None else known[1]

    def add(self, name: Hashable, selector: Selector, target: Target) -> None:
        self._targets[name] = (selector, target)
        self._found.clear()

    def remove(self, name: Hashable) -> None:
        del self._targets[name]
        self._found.clear()

    def to(self, key: FeatureKey) -> tuple[Target, ...]:
        """Find the targets whose selector matches."""
        if self._revision != self._directory.revision:
            self._revision = self._directory.revision
            self._found.clear()
        found = self._found.get(key)
        if found is None:
            chosen = self._directory.choose(key.feature)
            found = self._found[key] = tuple(
                target for selector, target in self._targets.values() if selector.matches(key, chosen)
            )
        return found

    def items(self) -> Iterable[tuple[Selector, Target]]:
        return self._targets.values()

    def __len__(self) -> int:
        return len(self._targets)
