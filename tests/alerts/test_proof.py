"""A rule is live where a server shows it as it was published, however it writes it."""

from __future__ import annotations

from dataclasses import replace

import httpx
import orjson
import pytest

from featurewatch.alerts.proof import differs, same_expression, seen_groups
from featurewatch.alerts.ruler_api import Ruler
from featurewatch.alerts.rulers import SeenGroup, SeenRule
from featurewatch.errors import Unavailable, UpstreamError
from featurewatch.stores.upstream import Target, Upstream

from .groups import group


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sum by(a)(rate(x[5m]))>1", "sum by (a) (rate(x[5m])) > 1", True),
        ("x > 0.50", "x > 0.5", True),
        ("x > 1000000", "x > 1e+06", True),
        ("x{a='b'}", 'x{a="b"}', True),
        ('x{a="b c"}', 'x{a="b d"}', False),
        ("x > 1", "x > 2", False),
        ("x > 1", "x < 1", False),
        ("x[5m]", "x[6m]", False),
    ],
)
def test_expressions_are_the_same_in_any_writing(one: str, other: str, same: bool) -> None:
    assert same_expression(one, other) is same


def shown(**changes: object) -> SeenGroup:
    rule = group("a").group.rules[0]
    seen = SeenRule(rule.alert, rule.expr, rule.labels, rule.annotations, 60, 0, "ok", "", 5)
    return SeenGroup("featurewatch-a", "chat.yml", (replace(seen, **changes),))  # type: ignore[arg-type]  # a test's


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (shown(), ""),
        (shown(keep_firing_s=None), ""),
        (None, "does not show it"),
        (shown(expr="up"), "another expr"),
        (shown(labels={}), "another set of labels"),
        (shown(annotations={}), "another set of annotations"),
        (shown(for_s=0), "another duration"),
        (shown(keep_firing_s=60), "another duration"),
        (shown(alert="b"), "another name"),
        (SeenGroup("featurewatch-a", "f", ()), "0 rules of it, expected 1"),
    ],
)
def test_a_difference_is_named(seen: SeenGroup | None, said: str) -> None:
    told = differs(group("a"), seen, "Prometheus")
    assert (said in told) if said else not told


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"data": {}}', b'{"data": {"groups": [{}]}}', b"<html>"])
def test_something_else_than_rules_is_told_as_such(answer: bytes) -> None:
    with pytest.raises(UpstreamError, match="is the address right"):
        seen_groups(answer, "Prometheus at x")


def test_of_many_only_those_asked_for_are_read_and_others_are_no_concern() -> None:
    groups = [{"name": name, "file": "f", "rules": []} for name in ("theirs", "featurewatch-a", "featurewatch-b")]
    answer = orjson.dumps({"data": {"groups": groups}})
    assert set(seen_groups(answer, "")) == {"featurewatch-a", "featurewatch-b"}
    assert set(seen_groups(answer, "", ["featurewatch-b"])) == {"featurewatch-b"}
    assert len(seen_groups(answer, "", ["featurewatch-new"])) == 1, "a sign that ours are read"


def test_a_few_of_a_long_list_are_cut_out_of_it_as_reading_all_of_it_finds_them() -> None:
    decoy = 'x{"name":"featurewatch-r2","file":"z'
    rule = {"name": "A", "query": decoy, "labels": {"feature": "ä"}, "annotations": {"message": decoy * 200}}
    groups = [{"name": f"featurewatch-r{n}", "file": f"f{n}", "rules": [rule]} for n in range(300)]
    answer = orjson.dumps({"status": "success", "data": {"groups": groups}})
    assert len(answer) > 1 << 20
    all_of_them = seen_groups(answer, "")
    wanted = ["featurewatch-r2", "featurewatch-r299"]
    assert seen_groups(answer, "", wanted) == {name: all_of_them[name] for name in wanted}
    assert seen_groups(answer, "", ["featurewatch-r2", "featurewatch-r300"]) == {
        "featurewatch-r2": all_of_them["featurewatch-r2"]
    }
    assert seen_groups(answer[:-60], "", ["featurewatch-r2"]), "what follows is no concern"
    with pytest.raises(UpstreamError, match="is the address right"):
        seen_groups(answer[:-60], "", ["featurewatch-r299"])


def ruler(answer: httpx.Response) -> Ruler:
    target = Target("Prometheus", "FEATUREWATCH_PROMETHEUS", "http://p")
    return Ruler(Upstream(target, transport=httpx.MockTransport(lambda request: answer)))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "text", "kind", "said"),
    [
        (403, "Lifecycle API is not enabled.", UpstreamError, "--web.enable-lifecycle"),
        (404, "", UpstreamError, "--web.enable-lifecycle"),
        (401, "", UpstreamError, "refused the credentials"),
        (503, "busy", Unavailable, "answered 503: busy"),
    ],
)
async def test_a_reload_that_is_not_done_is_told_apart_from_a_refusal(
    status: int, text: str, kind: type[Exception], said: str
) -> None:
    asked = ruler(httpx.Response(status, text=text))
    with pytest.raises(kind, match=said):
        await asked.reload()
    await asked.upstream.close()
    refusing = ruler(httpx.Response(500, text="failed to reload config: x\n"))
    assert await refusing.reload() == "failed to reload config: x"
    await refusing.upstream.close()
