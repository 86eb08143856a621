"""Which features there are, and which of them a caller may see."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from ..access import Principal
from ..directory import unknown_feature
from ..errors import OutOfRange
from ..model import FeatureKey, FeatureRecord
from ..snapshots import Snapshots
from ..stores.base import StateStore


class Catalog:
    """Answers from the state store. A feature that a caller may not see is as unknown to it as one that is not."""

    def __init__(self, state: StateStore, snapshots: Snapshots, *, max_features: int = 5000) -> None:
        self._state = state
        self._snapshots = snapshots
        self._most = max_features
        self._arriving: set[FeatureKey] = set()

    async def visible(self, caller: Principal) -> Mapping[str, FeatureRecord]:
        """Return the features that the caller sees, by id, sorted."""
        known = await self._state.features()
        return {feature: known[feature] for feature in sorted(known) if caller.sees(feature)}

    async def feature(self, feature: str, caller: Principal) -> FeatureRecord:
        """Return a feature.

        Raises:
            NotFound: there is none, or the caller may not see it; the message is the same.
        """
        record = (await self._state.features()).get(feature) if caller.sees(feature) else None
        if record is None:
            raise unknown_feature(feature)
        return record

    async def key(self, feature: str, environment: str, caller: Principal) -> FeatureKey:
        """Return a feature in the environment asked for, "" meaning the one that an unspecific request means."""
        return await self.key_of(await self.feature(feature, caller), environment)

    async def key_of(self, record: FeatureRecord, environment: str) -> FeatureKey:
        """Return a known feature in the environment asked for."""
        return FeatureKey(record.id, await self._snapshots.environment_of(record.id, environment))

    @contextmanager
    def room(self, keys: Collection[FeatureKey]) -> Iterator[frozenset[FeatureKey]]:
        """Hold room for features that come first while they are kept; give those for which there is none.

        Each tick measures every feature and every list shows it: what names its users or requests as features
        must not make that slow for all.
        """
        directory = self._snapshots.directory
        new = [key for key in directory.unknown(keys) if key not in self._arriving]
        left = max(0, self._most - len(directory.keys()) - len(self._arriving)) if new else 0
        held = new[:left]
        self._arriving.update(held)
        try:
            yield frozenset(new[left:])
        finally:
            self._arriving.difference_update(held)

    def no_room(self, excess: Collection[FeatureKey]) -> OutOfRange:
        """Make the error for features that find no room."""
        first = min(excess)
        return OutOfRange(
            f"feature {first.feature!r} in {first.environment!r} is new and {self._most} are known, which is the "
            "most: delete what is no feature, or raise FEATUREWATCH_MAX_FEATURES"
        )

    async def see(self, keys: Collection[FeatureKey]) -> None:
        """Note that features sent something."""
        await self._state.see(keys, {})
        self._snapshots.directory.note(keys)

    def forget(self, feature: str) -> None:
        """Forget where a feature was seen, when it was deleted."""
        self._snapshots.forget(feature)
