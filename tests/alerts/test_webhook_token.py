"""Webhooks are known by a token: the operator's, read anew when it changes, or one of our own making."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurewatch.alerts.webhook_token import WebhookToken
from featurewatch.errors import SettingsError, Unavailable


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


def test_our_own_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    token = WebhookToken(None, tmp_path / "secrets")
    assert not token.shown_by(bearer("")), "there is none yet"
    text = token.ensure()
    assert len(text) > 30
    assert WebhookToken(None, tmp_path / "secrets").ensure() == text
    assert token.path.stat().st_mode & 0o777 == 0o600
    assert token.shown_by(bearer(text))
    assert not token.shown_by(bearer(text + "x"))
    assert not token.shown_by({"authorization": f"Basic {text}"})
    assert not token.shown_by({})


def test_the_operators_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = WebhookToken(path, tmp_path)
    with pytest.raises(SettingsError, match=r"WEBHOOK_TOKEN_FILE .* cannot be read"):
        token.ensure()
    with pytest.raises(Unavailable, match="webhooks wait until it can"):
        token.shown_by(bearer("x"))
    path.write_text(" \n")
    with pytest.raises(SettingsError, match="which is empty"):
        token.ensure()
    assert not token.shown_by(bearer(""))
    path.write_text("one\n")
    assert (token.ensure(), token.shown_by(bearer("one"))) == ("one", True)
    path.write_text("another\n")
    assert (token.shown_by(bearer("one")), token.shown_by(bearer("another"))) == (False, True)
