"""Why nobody is notified: each reason once, whoever made the silence behind it."""

from __future__ import annotations

from featurewatch.alert_model import Alert
from featurewatch.alerts.alertmanager_client import Seen, Silence
from featurewatch.alerts.explain import Evidence, explain
from featurewatch.alerts.signals import Signal
from featurewatch.episode_model import Episode, Hold, Maintenance
from featurewatch.model import FeatureKey
from featurewatch.times import NS

NOW_NS = 1_790_000_000 * NS
KEY = FeatureKey("chat", "production")


def silence(id_: str, by: str) -> Silence:
    return Silence(id_, "active", (("feature", "chat"),), NOW_NS, NOW_NS + 60 * NS, by, "")


def test_a_silence_of_maintenance_or_of_an_acknowledgement_is_told_as_that_alone() -> None:
    alert = Alert("a", "r1", KEY, "", "", "high", "acknowledged", NOW_NS, acknowledged_by="ann")
    told = explain(
        Evidence(
            Episode(alert, {}, Hold("s1", NOW_NS + 60 * NS, None, "ann", "")),
            rule=None,
            now_ns=NOW_NS,
            seen=[Seen(Signal("r1", KEY, "f1", NOW_NS, None, {}), "suppressed", ("s1", "s2", "s3"), (), ("pager",))],
            silences={"s1": silence("s1", "ann"), "s2": silence("s2", "ann"), "s3": silence("s3", "bob")},
            reachable=True,
            maintenance=[Maintenance("m", "chat", None, NOW_NS, NOW_NS + 60 * NS, "", "ann", silence="s2")],
        )
    )
    assert [reason.partition(" until")[0] for reason in told["reasons"]] == [
        "ann acknowledged it: nobody is notified while that lasts", "chat is under maintenance", "bob silenced it"
    ]  # fmt: skip
    assert [one["id"] for one in told["silences"]] == ["s1", "s2", "s3"]


def test_of_an_alertmanager_that_is_away_nothing_is_claimed() -> None:
    alert = Alert("a", "r1", KEY, "", "", "high", "active", NOW_NS)
    told = explain(Evidence(Episode(alert, {}), rule=None, now_ns=NOW_NS, reachable=False))
    assert told["firing_in_alertmanager"] is None
    assert told["summary"].startswith("Alertmanager cannot be reached")
