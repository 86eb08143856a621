"""The fan-out: encoded once, filtered once, counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch.directory import Directory
from featurewatch.model import FeatureKey
from featurewatch.streams import hub as hub_module
from featurewatch.streams.routes import Routes, Selector
from streams.fakes import KEY, entry
from streams.rig import running


@pytest.mark.anyio
async def test_a_line_is_encoded_and_filtered_once_for_all_who_ask_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = passed = 0
    encode, compiled = hub_module.log_line, hub_module.compile_filter

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
    monkeypatch.setattr(hub_module, "compile_filter", counting_filter)
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
