"""What docs/dashboards says: every row of every dashboard is told of, links lead somewhere, pictures are there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "docs" / "dashboards"
PAGES: Final = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}
BOARDS: Final = {"overview": "overview", "feature": "feature", "logs": "logs", "alerts": "alerts", "itself": "bridge"}
"""A page for each dashboard."""


def anchors(text: str) -> set[str]:
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"(?m)^#+ (.+)$", text)}


def test_each_dashboard_has_a_page_that_the_index_names() -> None:
    assert PAGES.keys() == {"README", *BOARDS}
    assert all(f"]({name}.md)" in PAGES["README"] for name in BOARDS)


@pytest.mark.parametrize(("name", "board"), BOARDS.items())
def test_a_page_tells_of_every_row_and_shows_the_dashboard(name: str, board: str) -> None:
    told = json.loads((ROOT / "grafana" / "dashboards" / f"featurewatch-{board}.json").read_text(encoding="utf-8"))
    assert PAGES[name].startswith(f"# {told['title']}\n")
    rows = [panel["title"] for panel in told["panels"] if panel["type"] == "row"]
    assert [row for row in rows if row.partition(",")[0] not in PAGES[name]] == []
    assert f"../pictures/dashboard-{name}.png" in PAGES[name]


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere_and_pictures_are_small(name: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", PAGES[name])
    assert links
    for link in links:
        path, _, anchor = link.partition("#")
        target = FOLDER / path if path else FOLDER / f"{name}.md"
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link
        assert target.suffix != ".png" or target.stat().st_size < 300_000, link
