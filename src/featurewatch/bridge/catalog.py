"""Which features there are, and which of them a caller may see."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..access import Principal
from ..directory import unknown_feature
from ..model import FeatureKey, FeatureRecord
from ..snapshots import Snapshots
from ..stores.base import StateStore


class Catalog:
    """Answers from the state store. A feature that a caller may not see is as unknown to it as one that is not."""

    def __init__(self, state: StateStore, snapshots: Snapshots) -> None:
        self._state = state
        self._snapshots = snapshots

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

    async def see(self, keys: Collection[FeatureKey]) -> None:
        """Note that features sent something."""
        await self._state.see(keys, {})
        self._snapshots.directory.note(keys)

    def forget(self, feature: str) -> None:
        """Forget where a feature was seen, when it was deleted."""
        directory = self._snapshots.directory
        known = directory.keys()
        directory.forget([key for key in known if key.feature != feature])
