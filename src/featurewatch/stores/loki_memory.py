"""What the bridge remembers of whose lines it goes after, since when, and of what it could not get. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any, Final

from ..model import FEATURE_ID, FeatureKey, LogEntry, LogGap
from ..times import NS

__all__ = ["EVERY", "LINGER_S", "Coverage", "Memory"]

EVERY: Final = "*"
LINGER_S: Final = 16 * 60.0
"""How long a feature is gone after when nobody follows it any more: who comes back within 15 minutes misses nothing."""
MOST_GAPS: Final = 1_000
MOST_NAMED: Final = 200
LONGEST_SELECTOR: Final = 4_000
"""Above these the selector names no features: it means all, and what nobody wants is left out on arrival."""

_VERSION: Final = 1


@dataclass(slots=True)
class Coverage:
    """Since when a feature's lines are taken in.

    Attributes:
        asked_ns: when somebody first wanted them. What was logged before is history, which is not told as news.
        position: that of the last line that was told before then.
        wanted_ns: when somebody last wanted them.
        from_ns: lines with timestamps from here on are all known; None: not yet, the tail is still to be opened.
    """

    asked_ns: int
    position: int
    wanted_ns: int
    from_ns: int | None = None


@dataclass(slots=True)
class Memory:
    """Whose lines are gone after (`EVERY`: everybody's), which gaps were told, which positions are history.

    Attributes:
        reconciled_ns: up to here everything was compared with Loki; 0: nothing yet.
        silent: ranges of positions, both ends included, that were taken note of and never told.
        began: the position before the journal's first one.
    """

    covered: dict[str, Coverage] = field(default_factory=dict)
    gaps: list[LogGap] = field(default_factory=list)
    silent: list[tuple[int, int]] = field(default_factory=list)
    reconciled_ns: int = 0
    began: int = 0

    def anew(self, now_ns: int, position: int) -> Memory:
        """Make the memory of a journal that begins now: of this one stays who is wanted."""
        return Memory(
            {name: Coverage(now_ns, position, known.wanted_ns) for name, known in self.covered.items()}, began=position
        )

    def want(self, features: Collection[str] | None, now_ns: int, position: int) -> bool:
        """Note who is wanted now; tell whether a feature is that was not gone after before."""
        new = False
        every = self.covered.get(EVERY)
        for feature in (EVERY,) if features is None else features:
            known = self.covered.get(feature)
            if known is not None:
                known.wanted_ns = now_ns
            elif every is not None and every.from_ns is not None:
                self.covered[feature] = Coverage(every.asked_ns, every.position, now_ns, every.from_ns)
            elif feature == EVERY or FEATURE_ID.fullmatch(feature):
                self.covered[feature] = Coverage(now_ns, position, now_ns)
                new = True
        return new

    def expire(self, now_ns: int) -> bool:
        """Let go of what nobody has wanted for long; tell whether there was such."""
        gone = [name for name, known in self.covered.items() if now_ns - known.wanted_ns > LINGER_S * NS]
        for name in gone:
            del self.covered[name]
        return bool(gone)

    def shift(self, by_ns: int) -> None:
        """Follow a clock that was set: nobody was away for longer by it."""
        for known in self.covered.values():
            known.wanted_ns += by_ns

    def wants(self, feature: str) -> bool:
        return feature in self.covered or EVERY in self.covered

    def pending(self) -> list[str]:
        """Return what is wanted and not yet taken up."""
        return [name for name, known in self.covered.items() if known.from_ns is None]

    def take_up(self, names: Iterable[str], from_ns: int) -> None:
        """Note that lines from a timestamp on are known, those of before the asking at most."""
        for name in names:
            known = self.covered.get(name)
            if known is not None and known.from_ns is None:
                known.from_ns = min(from_ns, known.asked_ns)

    def complete_from(self, feature: str) -> int | None:
        """Return the timestamp (ns) from which on a feature's lines are all known; None where none are."""
        known = [one.from_ns for one in self._of(feature) if one.from_ns is not None]
        return min(known, default=None)

    def is_news(self, entry: LogEntry) -> bool:
        """Tell whether a line that arrives is told; it is not where it stands in a history that is yet to be read."""
        known = self._of(entry.feature)
        return any(one.from_ns is not None or entry.timestamp_ns >= one.asked_ns for one in known)

    def lost(self, position: int, features: Collection[str] | None) -> str | None:
        """Tell why not all lines of the features since a position were taken in; None where they were."""
        for feature in (EVERY,) if features is None else features:
            if not any(one.position <= position for one in self._of(feature)):
                return "not_followed"
        return None

    def told_after(self, position: int, keys: Collection[FeatureKey] | None) -> list[LogGap]:
        """Return the gaps told after a position."""
        return [gap for gap in self.gaps if gap.position >= position and _concerns(gap, keys)]

    def silence(self, positions: Sequence[int]) -> None:
        """Note that lines at these positions, in ascending order, are never told."""
        for position in positions:
            if self.silent and self.silent[-1][1] == position - 1:
                self.silent[-1] = (self.silent[-1][0], position)
            else:
                self.silent.append((position, position))

    def is_silent(self, position: int) -> bool:
        at = bisect_right(self.silent, (position, 1 << 63)) - 1
        return at >= 0 and self.silent[at][0] <= position <= self.silent[at][1]

    def forget(self, position: int) -> None:
        """Forget gaps and ranges before a position that nobody can resume from any more."""
        self.gaps = [gap for gap in self.gaps if gap.position >= position][-MOST_GAPS:]
        self.silent = [one for one in self.silent if one[1] >= position]

    def selector(self) -> str | None:
        """Write what is wanted as a selector of Loki; None where that is nothing."""
        if not self.covered:
            return None
        return selector_of(self.covered)

    def dump(self) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "reconciled_ns": self.reconciled_ns,
            "began": self.began,
            "covered": {name: astuple(known) for name, known in self.covered.items()},
            "gaps": [asdict(gap) for gap in self.gaps],
            "silent": self.silent,
        }

    @classmethod
    def load(cls, told: Mapping[str, Any]) -> Memory:
        """Read what `dump` told.

        Raises:
            ValueError: it is something else.
        """
        try:
            if told["version"] != _VERSION:
                raise ValueError(f"version {told['version']} is another one")
            return cls(
                {str(name): Coverage(*known) for name, known in told["covered"].items()},
                [LogGap(**gap) for gap in told["gaps"]],
                [(int(first), int(last)) for first, last in told["silent"]],
                int(told["reconciled_ns"]),
                int(told["began"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is none of ours ({error!r})") from None

    def _of(self, feature: str) -> list[Coverage]:
        return [self.covered[name] for name in {feature, EVERY} if name in self.covered]


def _concerns(gap: LogGap, keys: Collection[FeatureKey] | None) -> bool:
    if keys is None or gap.feature is None:
        return True
    return any(key.feature == gap.feature and gap.environment in (None, key.environment) for key in keys)


def selector_of(features: Collection[str]) -> str:
    """Write features as a stream selector; those too many to be named, and `EVERY`, as all there are."""
    # An id holds letters, digits, '.', '_' and '-', of which '.' alone means something in a regular expression.
    names = "|".join(sorted(feature.replace(".", "[.]") for feature in features))
    if EVERY in features or len(features) > MOST_NAMED or len(names) > LONGEST_SELECTOR:
        names = ".+"
    return f'{{feature=~"{names}"}}'
