"""The token that a client shows, and where another comes from."""

from __future__ import annotations

import asyncio
import threading

import pytest

from featurewatch.client import credential
from featurewatch.client.credential import Credential
from featurewatch.client.refusals import Lost
from featurewatch.errors import Forbidden, Unauthenticated

pytestmark = pytest.mark.anyio


async def test_a_fixed_token_is_shown_and_cannot_be_renewed() -> None:
    fixed = Credential("t1")
    assert await fixed.headers() == {"Authorization": "Bearer t1"}
    assert not fixed.renewable
    with pytest.raises(Unauthenticated, match="no function"):
        await fixed.renew("t1")
    assert await Credential(None).headers() == {}


async def test_a_token_from_a_file_loses_its_line_break_and_one_that_is_none_is_not_shown() -> None:
    assert await Credential("fw_a_b\n").headers() == {"Authorization": "Bearer fw_a_b"}
    assert await Credential("  ").headers() == {}
    for wrong in ("fw_a_b\nfw_c_d", "fw_a b", "fw_ä", "fw_a\x00b"):
        with pytest.raises(Unauthenticated) as refused:
            Credential(wrong)
        assert "fw_" not in str(refused.value)
        with pytest.raises(Unauthenticated):
            await Credential(lambda wrong=wrong: wrong).token()


async def test_a_function_is_asked_once_and_again_when_its_token_ended() -> None:
    given: list[str] = []

    def source() -> str:
        assert threading.current_thread() is not threading.main_thread(), "it may wait without holding the loop up"
        given.append(f"t{len(given) + 1}")
        return given[-1]

    renewed = Credential(source)
    assert await renewed.token() == "t1"
    assert await renewed.token() == "t1"
    # Ten who learn of the same end ask once.
    assert set(await asyncio.gather(*(renewed.renew("t1") for _ in range(10)))) == {"t2"}
    assert given == ["t1", "t2"]


async def test_a_coroutine_function_serves_too() -> None:
    async def source() -> str:
        await asyncio.sleep(0)
        return "t"

    assert await Credential(source).token() == "t"
    assert await Credential(lambda: source()).token() == "t"


async def test_a_source_that_fails_is_tried_again_later_and_one_that_refuses_is_not() -> None:
    def fails() -> str:
        raise ConnectionError("no network")

    def refuses() -> str:
        raise Forbidden("no more tokens for you")

    with pytest.raises(Lost, match="no network"):
        await Credential(fails).token()
    with pytest.raises(Forbidden):
        await Credential(refuses).token()
    with pytest.raises(Unauthenticated, match="got NoneType"):
        await Credential(lambda: None).token()  # type: ignore[arg-type, return-value]  # a mistake


async def test_a_source_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credential, "PATIENCE_S", 0.05)

    async def source() -> str:
        await asyncio.sleep(3600)
        return "t"

    with pytest.raises(Lost, match="took more than"):
        await Credential(source).token()
