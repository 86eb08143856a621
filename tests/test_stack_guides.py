"""What the guides to a stack tell people to type is understood by who gets it."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from compose import load
from featurewatch import settings
from featurewatch.cli import build_parser
from featurewatch.commands import stack_init

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = {name: (ROOT / f"docs/{name}.md").read_text(encoding="utf-8")
                for name in ("compose", "stack", "production", "custom-ui", "streams")}  # fmt: skip
SERVICES: Final = load()["services"]
KNOWN: Final = {name.upper() for name in settings.Settings.model_fields}


def commands(text: str) -> Iterator[str]:
    """Yield the lines of indented blocks and shell fences, and what stands in backticks, without comments."""
    fences = re.findall(r"```(?:sh)?\n(.*?)```", text, re.DOTALL)
    indented = re.findall(r"^ {4,}(\S.*)$", text, re.MULTILINE)
    for line in (
        *indented,
        *(one for fence in fences for one in fence.splitlines()),
        *re.findall(r"`([^`\n]+)`", text),
    ):
        yield line.split(" # ")[0].split("   #")[0].strip()


def checked(kind: str) -> list[str]:
    """Return the YAML that the pages mark as checked in this way."""
    mark = rf"<!-- checked by tests/test_stack_guides\.py: {kind} -->\n```yaml\n(.*?)```"
    found = [block for text in PAGES.values() for block in re.findall(mark, text, re.DOTALL)]
    assert found, kind
    return found


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program} (tests/install-system-packages installs it)")
    return subprocess.run([found, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_prometheus_takes_each_block_and_all_together(tmp_path: Path) -> None:
    whole: dict[str, Any] = {}
    for number, block in enumerate(checked("prometheus")):
        (tmp_path / f"{number}.yml").write_text(block)
        for name, value in yaml.safe_load(block).items():
            whole[name] = [*whole.get(name, ()), *value] if isinstance(value, list) else value
    (tmp_path / "whole.yml").write_text(yaml.safe_dump(whole))
    assert len(whole["rule_files"]) == 2
    done = run("promtool", "check", "config", "--syntax-only", *map(str, sorted(tmp_path.glob("*.yml"))))
    assert done.returncode == 0, done.stdout + done.stderr


def test_alertmanager_takes_its_block(tmp_path: Path) -> None:
    for block in checked("alertmanager"):
        (tmp_path / "alertmanager.yml").write_text(block)
        done = run("amtool", "check-config", str(tmp_path / "alertmanager.yml"))
        assert done.returncode == 0, done.stdout + done.stderr


def test_lokis_lines_are_those_of_the_configuration_that_is_shipped() -> None:
    (block,) = checked("loki")
    shipped = yaml.safe_load((ROOT / "loki/loki.yaml").read_text(encoding="utf-8"))
    for section, lines in yaml.safe_load(block).items():
        assert lines.items() <= shipped[section].items()


def test_the_monitor_of_an_app_has_the_fields_of_ours() -> None:
    (block,) = checked("monitor")
    told, ours = (
        yaml.safe_load(block),
        yaml.safe_load((ROOT / "deploy/kubernetes/base/servicemonitor.yaml").read_text()),
    )
    assert (told["apiVersion"], told["kind"]) == (ours["apiVersion"], ours["kind"])
    assert told["spec"].keys() <= ours["spec"].keys()
    assert told["spec"]["endpoints"][0].keys() <= ours["spec"]["endpoints"][0].keys()


def test_grafanas_provider_reads_where_the_compose_file_mounts() -> None:
    (block,) = checked("grafana")
    (provider,) = yaml.safe_load(block)["providers"]
    assert any(text.split(":")[1] == provider["options"]["path"] for text in SERVICES["grafana"]["volumes"])


@pytest.mark.parametrize("name", PAGES)
def test_every_setting_is_one(name: str) -> None:
    told = set(re.findall(r"FEATUREWATCH_([A-Z_]+[A-Z])\b", PAGES[name]))
    assert settings.unknown_names({f"FEATUREWATCH_{one}": "" for one in told}) == []
    short = set(
        re.findall(r"`?\b([A-Z]+_[A-Z_]+[A-Z])\b", re.sub(r"FEATUREWATCH_\w+|GF_\w+|COMPOSE_\w+", "", PAGES[name]))
    )
    assert short <= KNOWN | {"BASE_CONFIG"}, short - KNOWN


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_ours_is_understood(name: str) -> None:
    for line in commands(PAGES[name]):
        words = shlex.split(line.replace("…", "x").split("|")[0]) if line.count("'") % 2 == 0 else []
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words[:1] != ["featurewatch"] or words == ["featurewatch"]:
            continue
        build_parser().parse_args(words[1:])


def docker_commands() -> list[tuple[str, list[str]]]:
    return [
        (name, shlex.split(line)[2:])
        for name, text in PAGES.items() for line in commands(text) if line.startswith("docker compose ")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "words"), docker_commands(), ids=lambda one: one if isinstance(one, str) else " ".join(one)
)
def test_every_compose_command_names_what_the_file_has(name: str, words: list[str]) -> None:
    reader = argparse.ArgumentParser(exit_on_error=False)
    reader.add_argument("--env-file")
    reader.add_argument("--profile")
    reader.add_argument("verb", choices=["up", "down", "run", "restart", "exec", "logs"])
    reader.add_argument("--detach", action="store_true")
    reader.add_argument("--volumes", action="store_true")
    reader.add_argument("--scale")
    reader.add_argument("rest", nargs=argparse.REMAINDER)
    read = reader.parse_args([word for word in words if word != "--rm"])
    if read.env_file:
        assert (ROOT / read.env_file).exists()
    if read.profile:
        assert any(read.profile in service.get("profiles", ()) for service in SERVICES.values())
    if read.scale:
        assert read.scale.split("=")[0] in SERVICES
    if read.verb in ("run", "restart", "exec", "logs"):
        while read.rest[0] == "-e":
            del read.rest[:2]
        assert read.rest[0] in SERVICES, f"{name}: {words}"
    if read.verb == "run":
        known = {option for option in read.rest[1:] if option.startswith("--")}
        assert known <= {"--show", "--token", "--renew", "--role"}
        if "--renew" in known:
            assert read.rest[-1] in {f"{one.folder}/{one.name}" for one in stack_init.CREDENTIALS}


def test_the_compose_commands_are_found() -> None:
    assert len(docker_commands()) >= 10


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", PAGES[name]):
        path, _, anchor = link.partition("#")
        target = (ROOT / "docs" / path) if path else ROOT / f"docs/{name}.md"
        assert target.exists(), link
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, link


@pytest.mark.parametrize("name", PAGES)
def test_every_file_that_is_named_exists(name: str) -> None:
    for path in re.findall(r"`((?:deploy|grafana|prometheus|loki|alertmanager)/[\w./-]*\w)`", PAGES[name]):
        assert (ROOT / path).exists() or path.startswith("grafana/"), path


def test_the_images_of_the_page_are_those_of_the_file() -> None:
    told = set(re.findall(r"`([a-z/-]+:v?\d[\w.-]+)`", PAGES["compose"]))
    assert told == {one["image"] for one in SERVICES.values() if "build" not in one}
    assert set(re.findall(r"^\| `([a-z-]+)` \|", PAGES["compose"], re.MULTILINE)) == SERVICES.keys()


def test_how_many_series_a_feature_has_is_as_told() -> None:
    code = (
        "import featurewatch as f; f.Feature('none'); f.Feature('two', models=['gpt-5-mini', 'own'])\n"
        "print(b''.join(f.metrics_wsgi_app()({'REQUEST_METHOD': 'GET', 'PATH_INFO': '/', 'QUERY_STRING': ''}, "
        "lambda *_: None)).decode())"
    )
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    none, two = (sum(f'feature="{name}"' in line for line in text.splitlines()) for name in ("none", "two"))
    assert (
        f"{none} for each feature, environment and instance, {(two - none) // 2} for each of its models"
        in (PAGES["production"])
    )
    assert f"{100 * 5 * two:,}" in PAGES["production"]
    assert f"A feature has {none} series, {(two - none) // 2} more for each model" in (
        (ROOT / "prometheus/prometheus.yml").read_text()
    )
