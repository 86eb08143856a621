"""How far each rule has come, told to the state as it happens."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping

from ..alert_model import Deployment, DeploymentState
from ..errors import FeaturewatchError
from ..stores.alert_base import RuleStore

__all__ = ["Deployments"]

_log = logging.getLogger(__name__)


class Deployments:
    """Takes note of deployments at once, and keeps them in the state in the background, the newest of each rule.

    What cannot be kept now waits for the next time; it is one entry a rule, so it never grows beyond the rules.

    Args:
        clock: nanoseconds since the epoch.
    """

    def __init__(self, store: RuleStore, *, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, Deployment] = {}
        self._unkept: dict[str, Deployment] = {}
        self._keeping: asyncio.Task[None] | None = None

    def tell(self, revisions: Mapping[str, int], state: DeploymentState, error: str | Mapping[str, str] = "") -> None:
        """Note how far rules have come; `error` is one for all, or one for each."""
        now = self._clock()
        for rule, revision in revisions.items():
            why = error if isinstance(error, str) else error.get(rule, "")
            known = self._known.get(rule)
            if known is None or (known.revision, known.state, known.error) != (revision, state, why or None):
                self._known[rule] = self._unkept[rule] = Deployment(revision, state, why or None, now)
        if self._unkept and (self._keeping is None or self._keeping.done()):
            self._keeping = asyncio.create_task(self.keep())

    def known(self, rule: str) -> Deployment | None:
        """Return what was told last of a rule since the start."""
        return self._known.get(rule)

    @property
    def states(self) -> Mapping[DeploymentState, int]:
        """Count the rules by how far they have come, those told of since the start."""
        return Counter(deployment.state for deployment in self._known.values())

    def forget(self, rule: str) -> None:
        """Forget a rule that is gone."""
        self._known.pop(rule, None)
        self._unkept.pop(rule, None)

    async def keep(self) -> None:
        """Keep what was told; what comes meanwhile too."""
        while self._unkept:
            told, self._unkept = self._unkept, {}
            try:
                await self._store.deploy(told)
            except FeaturewatchError as error:
                _log.warning("deployments of %d rules cannot be kept now: %s", len(told), error)
                self._unkept = {**told, **self._unkept}
                return

    async def close(self) -> None:
        """Keep what is left."""
        if self._keeping is not None:
            await self._keeping
        await self.keep()
