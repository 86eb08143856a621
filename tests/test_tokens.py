"""The file of API tokens."""

from __future__ import annotations

import json
import stat
import string
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurewatch import tokens
from featurewatch.errors import BadInput, NotFound, SettingsError

NOW = 1_800_000_000_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "tokens.json"


def create(path: Path, **given: Any) -> tuple[tokens.Token, str]:
    return tokens.create(path, **{"role": "viewer", "clock": lambda: NOW} | given)


def test_a_token_is_found_by_its_text_and_by_nothing_else(path: Path) -> None:
    token, text = create(path, features=("sum*", "chat"), name="wall display")
    kept = tokens.load(path)
    assert tokens.find(kept, text, NOW) == token
    id_, secret = text.split("_")[1:]
    wrong = ["", "fw", "fw_", f"fw_{id_}", f"fw_{id_}_", f"fw_{id_}_{secret[:-1]}", f"fw_{id_}_{secret}x", secret,
             f"xx_{id_}_{secret}", f"fw_{id_[:-1]}_{secret}", f"fw_{id_}_{token.sha256}", "fw__", "\ud800"]  # fmt: skip
    assert [text for text in wrong if tokens.find(kept, text, NOW)] == []


def test_the_text_has_one_form_and_enough_randomness(path: Path) -> None:
    texts = {create(path)[1] for _ in range(20)}
    assert len(texts) == 20
    for text in texts:
        prefix, id_, secret = text.split("_")
        assert (prefix, len(id_), len(secret)) == ("fw", 8, 43)
        assert set(secret) <= set(string.ascii_letters + string.digits)


def test_the_file_holds_no_secret_and_is_for_its_owner_only(path: Path) -> None:
    _, text = create(path)
    assert text.split("_")[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(found.name for found in path.parent.iterdir()) == ["tokens.json", "tokens.json.lock"]


def test_a_token_is_over_at_its_end(path: Path) -> None:
    _, text = create(path, expires_s=60)
    kept = tokens.load(path)
    assert tokens.find(kept, text, NOW + 59_999_999_999) is not None
    assert tokens.find(kept, text, NOW + 60_000_000_000) is None


def test_a_revoked_token_is_gone_and_the_others_stay(path: Path) -> None:
    one, _ = create(path)
    _two, text = create(path)
    assert tokens.revoke(path, one.id) == one
    kept = tokens.load(path)
    assert list(kept) == [_two.id]
    assert tokens.find(kept, text, NOW)
    with pytest.raises(NotFound, match=one.id):
        tokens.revoke(path, one.id)


def test_a_whole_token_may_be_given_to_revoke_it(path: Path) -> None:
    token, text = create(path)
    assert tokens.revoke(path, text) == token


def test_two_writers_lose_nothing(path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: create(path)[0].id, range(40)))
    assert sorted(tokens.load(path)) == sorted(made)


@given(
    role=st.sampled_from(["viewer", "operator", "editor", "ingest", "admin"]),
    features=st.lists(st.text("abcXYZ019._-*?", min_size=1, max_size=64), min_size=1, max_size=5),
    name=st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), max_size=60),
    expires=st.none() | st.integers(1, 10**8),
)
def test_what_was_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, role: Any, features: list[str], name: str, expires: int | None
) -> None:
    path = tmp_path_factory.mktemp("tokens") / "tokens.json"
    token, text = create(path, role=role, features=features, name=name, expires_s=expires)
    assert tokens.load(path) == {token.id: token}
    assert tokens.find(tokens.load(path), text, NOW) == token


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"role": "root"}, "role: expected one of viewer, operator, editor, ingest, admin"),
        ({"features": ()}, "features: expected at least one"),
        ({"features": ("sum mer",)}, "features: expected a feature id"),
        ({"features": ("a" * 65,)}, "features"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "x" * 101}, "name"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_written(path: Path, given: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        create(path, **given)
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", "expected JSON"),
        ("[]", "expected {"),
        ('{"version": 2, "tokens": []}', "expected {"),
        ('{"version": 1, "tokens": [7]}', "token 1: expected an object"),
        ('{"version": 1, "tokens": [{"id": "abcd1234"}]}', "token 1: 'name' is missing"),
    ],
)
def test_a_broken_file_is_named_with_its_defect_and_kept(path: Path, content: str, named: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    for action in (lambda: tokens.load(path), lambda: create(path), lambda: tokens.revoke(path, "abcd1234")):
        with pytest.raises(SettingsError, match=named) as caught:
            action()
        assert str(path) in str(caught.value)
    assert path.read_text() == content


@pytest.mark.parametrize(
    ("field", "value"), [("role", "root"), ("sha256", "abc"), ("created", "yesterday"), ("features", 5), ("id", "A_B")]
)
def test_a_wrong_field_is_named(path: Path, field: str, value: object) -> None:
    create(path)
    data = json.loads(path.read_text())
    data["tokens"][0][field] = value
    path.write_text(json.dumps(data))
    with pytest.raises(SettingsError, match="token 1: "):
        tokens.load(path)


def test_a_missing_file_says_how_to_make_one(path: Path) -> None:
    with pytest.raises(SettingsError, match="featurewatch token create"):
        tokens.load(path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be written"):
        create(tmp_path / "file" / "tokens.json")
