"""Why nobody is notified: each reason once, whoever made the silence behind it."""

from __future__ import annotations

from typing import Any

from featurewatch.alert_model import Alert, AlertRule
from featurewatch.alerts.alertmanager_client import Seen, Silence
from featurewatch.alerts.explain import Evidence, explain
from featurewatch.alerts.signals import Signal
from featurewatch.episode_model import Episode, Hold, Maintenance, Remark
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


def told_by_the_bridge(**more: Any) -> dict[str, Any]:
    rule = AlertRule("r1", "chat", "Errors", "error_rate", "greater_than", 20, "low", channels=("hi", "mail", "ops"))
    alert = Alert("a", "r1", KEY, "", "", "low", "active", NOW_NS)
    return explain(Evidence(Episode(alert, {}), rule=rule, now_ns=NOW_NS + NS, **more))


def test_a_channel_that_is_not_told_of_the_severity_is_not_said_to_be() -> None:
    assert told_by_the_bridge(deaf={"hi"})["route"]["channels"] == ["mail", "ops"]
    told = told_by_the_bridge(deaf={"hi", "mail", "ops"})
    assert told["summary"] == "no channel of its rule is told of severity low: hi, mail, ops"
    assert told["next_notification_at"] is None
    receivers = ("featurewatch/bridge", "featurewatch/hi+mail+ops@60m/low", "pager")
    seen = [Seen(Signal("r1", KEY, "f1", NOW_NS, None, {}), "active", receivers=receivers)]
    by_alertmanager = told_by_the_bridge(deaf={"hi"}, reachable=True, seen=seen)
    assert by_alertmanager["summary"] == "notified: pager, mail, ops"


def test_what_the_bridge_delivered_is_the_answer() -> None:
    remarks = [
        Remark("a", "delivery", NOW_NS, "ops", "failed: refused"),
        Remark("a", "delivery", NOW_NS + 1, "ops", "firing"),
        Remark("a", "delivery", NOW_NS, "mail", "failed: refused"),
    ]
    told = told_by_the_bridge(remarks=remarks)
    assert told["summary"] == "notified: ops; could not be told: mail; not told yet: hi"


def test_a_more_severe_alert_beside_which_the_bridge_tells_of_none_is_named() -> None:
    told = told_by_the_bridge(above=["Outage Alert"])
    assert told["summary"] == "a more severe alert inhibits it: Outage Alert"
