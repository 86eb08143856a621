"""The fan-out: encoded once, filtered once, counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.directory import Directory
from featurewatch.model import FeatureKey, LogGap
from featurewatch.streams import hub as hub_module
from featurewatch.streams import subscribers
from featurewatch.streams.routes import Routes, Selector
from featurewatch.times import NS
from streams.fakes import KEY, START_NS, entry
from streams.rig import running


@pytest.mark.anyio
async def test_a_line_is_encoded_and_filtered_once_for_all_who_ask_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = passed = 0
    encode, compiled = hub_module.log_line, subscribers.compile_filter

    def counting_line(*args: object, **options: object) -> object:
        nonlocal encoded
        encoded += 1
        return encode(*args, **options)  # type: ignore[arg-type]  # passed on

    def counting_filter(filter: object) -> object:
        passes = compiled(filter)  # type: ignore[arg-type]  # passed on

        def count(line: object) -> bool:
            nonlocal passed
            passed += 1
            return passes(line)  # type: ignore[arg-type]  # passed on

        return count

    monkeypatch.setattr(hub_module, "log_line", counting_line)
    monkeypatch.setattr(subscribers, "compile_filter", counting_filter)
    async with running() as rig:
        rig.logs.publish(entry(0))
        assert encoded == 0, "nobody asked"
        sockets = [rig.connect("summarize") for _ in range(20)]
        for number, socket in enumerate(sockets):
            socket.say("subscribe_logs", filters={"levels": ["error"]} if number % 2 else {})
            await socket.until("log_history")
        rig.logs.publish(entry(1, level="error"), entry(2, level="error"))
        for socket in sockets:
            assert [(await socket.next())["data"]["id"] for _ in range(2)] == ["line-1", "line-2"]
        assert encoded == 2
        assert passed == 4
        assert rig.hub.routes == 3, "one watched feature, two filters"


@pytest.mark.anyio
async def test_the_counts_are_there_to_be_shown() -> None:
    async with running() as rig:
        socket = rig.connect("summarize")
        await socket.until("metrics_update")
        shown = {name: (kind, dict(values)) for name, kind, _, values in rig.hub.stats.families()}
        assert shown["featurewatch_streams_open"] == ("gauge", {(("transport", "websocket"),): 1})
        assert shown["featurewatch_streams_messages_total"] == ("counter", {(): 2})
        assert set(shown) == {
            "featurewatch_streams_open",
            "featurewatch_streams_messages_total",
            "featurewatch_streams_dropped_lines_total",
            "featurewatch_streams_gaps_total",
            "featurewatch_streams_closed_total",
        }


@pytest.mark.anyio
async def test_publishing_nothing_is_harmless() -> None:
    async with running() as rig:
        rig.hub.publish_logs([])
        rig.hub.publish_snapshots([])
        assert rig.hub.position.log == 0


names = st.sampled_from(["a", "b", "ab", "abc"])
keys = st.builds(FeatureKey, names, st.sampled_from(["production", "staging", "x"]))
selectors = st.builds(
    Selector,
    st.just("*") | names,
    st.none() | st.sampled_from(["production", "staging"]),
    st.lists(st.sampled_from(["*", "a*", "?"]), max_size=2).map(tuple),
    st.frozensets(names, max_size=2),
)


@given(st.lists(st.tuples(st.sampled_from(["note", "add", "remove", "look"]), keys, selectors), max_size=30))
def test_routes_always_find_what_a_look_at_every_selector_would(steps: list[tuple[str, FeatureKey, Selector]]) -> None:
    directory = Directory()
    routes: Routes[Selector] = Routes(directory)
    added: dict[Selector, None] = {}
    for step, key, selector in steps:
        if step == "note":
            directory.note([key])
        elif step == "add" and selector not in added:
            routes.add(selector, selector, selector)
            added[selector] = None
        elif step == "remove" and selector in added:
            routes.remove(selector)
            del added[selector]
        chosen = directory.choose(key.feature)
        assert routes.to(key) == tuple(each for each in added if each.matches(key, chosen))


def test_a_selector_without_environment_means_the_feature_s_own_choice() -> None:
    selector = Selector("summarize")
    assert selector.matches(KEY, "production")
    assert not selector.matches(KEY, "staging")
    assert not selector.matches(KEY, None)


@pytest.mark.anyio
async def test_a_large_commit_reaches_everybody_in_order_and_a_client_that_comes_meanwhile_misses_nothing() -> None:
    async with running() as rig:
        early = rig.connect("summarize")
        early.say("subscribe_logs")
        await early.until("log_history")
        rig.logs.publish(*(entry(number) for number in range(3_000)))
        await rig.settle()
        late = rig.connect("summarize")
        late.say("subscribe_logs")
        found = [line["id"] for line in (await late.until("log_history"))["data"]]
        rig.logs.publish(entry(3_000))
        while not found or found[-1] != "line-3000":
            found.append((await late.until("log_entry"))["data"]["id"])
        assert len(found) == len(set(found))
        assert found == [f"line-{number}" for number in range(3_001 - len(found), 3_001)]
        assert len(found) >= 51
        got = [(await early.until("log_entry"))["data"]["id"] for _ in range(3_001)]
        assert got == [f"line-{number}" for number in range(3_001)]


@pytest.mark.anyio
async def test_lines_that_cannot_be_had_are_told_to_those_who_follow_the_feature() -> None:
    async with running(features=("summarize", "chat")) as rig:
        one, every, other, staged = (
            rig.connect("summarize"),
            rig.connect("*"),
            rig.connect("chat"),
            rig.connect("summarize", environment="staging"),
        )
        for socket in (one, every, other, staged):
            socket.say("subscribe_logs")
            await socket.until("log_history")
        one.say("subscribe_logs", featureId="summarize", filters={"levels": ["error"]})
        await one.until("log_history")
        rig.logs.tell_gap(LogGap(7, "summarize", "production", "late", 12, START_NS, START_NS + NS))
        for socket in (one, every):
            told = await socket.until("gap")
            assert told["featureId"] == "summarize"
            assert told["data"]["reason"] == "late"
            assert told["data"]["count"] == 12
            assert told["data"]["from"] < told["data"]["to"]
        rig.logs.tell_gap(LogGap(7, "summarize", None, "unavailable", None, START_NS, START_NS + NS))
        assert (await staged.until("gap"))["data"]["reason"] == "unavailable", "not the one of production"
        rig.logs.tell_gap(LogGap(7, None, None, "lost", None, START_NS, START_NS + NS))
        assert (await other.until("gap"))["data"]["reason"] == "lost", "none of another feature before it"
        stats = rig.hub.stats
        assert stats.gaps == {"late": 2, "unavailable": 3, "lost": 4}
        assert stats.dropped["late"] == 24


@pytest.mark.anyio
async def test_the_store_hears_whose_lines_are_followed() -> None:
    async with running(features=("summarize", "chat")) as rig:
        one = rig.connect("summarize")
        one.say("subscribe_logs")
        await one.until("log_history")
        assert rig.logs.wanted == [{"summarize"}]
        two = rig.connect("summarize")
        two.say("subscribe_logs")
        await two.until("log_history")
        assert rig.logs.wanted == [{"summarize"}], "who follows alike is no news"
        every = rig.connect("*")
        every.say("subscribe_logs")
        await every.until("log_history")
        assert rig.logs.wanted == [{"summarize"}, None]
