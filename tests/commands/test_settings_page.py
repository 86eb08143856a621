"""The page of settings says what the code reads, all of it."""

from __future__ import annotations

from dataclasses import fields

from featurewatch.commands.settings_page import page
from featurewatch.exporter.config import Config
from featurewatch.settings import Settings, unknown_names


def test_every_setting_is_documented_with_a_meaning() -> None:
    rows = {line.split("|")[1].strip(): line.split("|") for line in page().splitlines() if line.startswith("| `")}
    for name in Settings.model_fields:
        assert rows[f"`FEATUREWATCH_{name.upper()}`"][-2].strip(), name


def test_nothing_that_is_documented_is_called_unknown() -> None:
    named = {line.split("`")[1] for line in page().splitlines() if line.startswith("| `")}
    assert unknown_names(dict.fromkeys(named, "1")) == []


def test_what_the_exporter_reads_is_known_to_the_bridge() -> None:
    names = [field.name for field in fields(Config) if not field.name.startswith(("otel_", "_"))]
    read = {f"FEATUREWATCH_{name.upper()}" for name in names}
    assert unknown_names(dict.fromkeys(read, "1")) == []
