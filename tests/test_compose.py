"""What can be known of docker-compose.yml without Docker: that its parts fit, and are as closed as it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import compose_spec
import pytest
import yaml

from compose import ROOT, load, mounts
from featurewatch import settings, tokens
from featurewatch.bridge.origin import host_allowed
from featurewatch.cli import main
from featurewatch.commands import stack_init
from featurewatch.demo import app
from featurewatch.stores.state_engine import open_engine

FILE: Final = load()
SERVICES: Final[dict[str, dict[str, Any]]] = FILE["services"]
PORTS: Final = {
    "bridge": {8400}, "demo": {8000}, "prometheus": {9090}, "loki": {3100, 9095}, "alertmanager": {9093},
    "grafana": {3000}, "postgres": {5432}, "otel-collector": {4317, 4318},
}  # fmt: skip
"""Where each server listens on its own, or as its configuration says."""

CONFIGURATIONS: Final = (
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("grafana/provisioning/*/*.yml")),
    "prometheus/prometheus.yml", "loki/loki.yaml", "alertmanager/alertmanager.yml", "deploy/compose/collector.yaml",
    "deploy/compose/postgres.env",
)  # fmt: skip


def given(service: str) -> dict[str, str]:
    return {name: str(value) for name, value in SERVICES[service].get("environment", {}).items()}


def test_the_file_is_as_the_compose_specification_has_it() -> None:
    # The bindings take addresses alone; Compose has a word for the host's.
    text = yaml.safe_dump(FILE).replace(":host-gateway", ":192.0.2.1")
    compose_spec.PyCompose.from_yaml(text).validate()
    misspelt = text.replace("read_only:", "readonly:", 1)
    with pytest.raises(ValueError, match="readonly"):
        compose_spec.PyCompose.from_yaml(misspelt)


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ([], set()),
        (["--env-file", "deploy/compose/postgres.env"], {"postgres"}),
        (["--profile", "*"], {"postgres", "otel-collector"}),
    ],
)
def test_compose_itself_takes_the_file_with_each_profile(options: list[str], more: set[str]) -> None:
    """Needs no Docker: Compose only reads the file. Debian has it from trixie on; bookworm's 1.29 is too old."""
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("no docker-compose (Debian 13: apt-get install docker-compose)")
    version = subprocess.run([program, "version", "--short"], capture_output=True, text=True, check=False).stdout
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < (2, 20):
        pytest.skip(f"docker-compose {version.strip()} is older than 2.20")
    done = subprocess.run(
        [program, *options, "config", "--services"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {name for name, one in SERVICES.items() if "profiles" not in one} | more


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_closed(name: str) -> None:
    """No root, no rights, nothing written but to volumes, bounds, a check, and a version that does not change."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    user, group = service["user"].split(":")
    if name == "init":
        assert (service["network_mode"], service["restart"]) == ("none", "no")
        assert set(service["cap_add"]) == {"CHOWN", "DAC_OVERRIDE", "FOWNER"}
    else:
        assert "cap_add" not in service
        assert int(user) > 0
        assert group.isdecimal()
    limits = service["deploy"]["resources"]["limits"]
    assert limits.keys() == {"cpus", "memory", "pids"}
    assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+(\.\d+)?(-alpine)?", service["image"]), service["image"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    if name not in ("init", "otel-collector"):
        assert service["healthcheck"]["test"][0] == "CMD"
    assert not any("docker.sock" in source for source in mounts(service).values())


def test_only_who_asks_for_credentials_can_be_reached() -> None:
    reached = {name for name, service in SERVICES.items() if "ports" in service and "profiles" not in service}
    assert reached == {"bridge", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists(name: str) -> None:
    for target, source in mounts(SERVICES[name]).items():
        assert target.startswith("/")
        if source.startswith("./"):
            assert (ROOT / source).exists(), f"{name} mounts {source}"
        else:
            assert source in FILE["volumes"], f"{name} mounts {source}"


def test_every_volume_has_its_use_and_credentials_only_one_reader() -> None:
    users: dict[str, set[str]] = {volume: set() for volume in FILE["volumes"]}
    for name, service in SERVICES.items():
        for source in mounts(service).values():
            if source in users:
                users[source].add(name)
    assert all(users.values()), users
    for volume, by in users.items():
        if volume.startswith("credentials-"):
            assert "init" in by
            assert len(by) <= 2, f"{volume} is read by {by}"


def test_the_bridges_environment_is_known_valid_and_without_a_secret() -> None:
    env = given("bridge")
    assert settings.unknown_names(env) == []
    read = settings.load(env)
    assert not read.loopback
    assert host_allowed("bridge:8400", read), "who sends lines and webhooks names it so"
    assert not host_allowed("evil.example.com", read)
    known = {f"FEATUREWATCH_{name.upper()}" for name in settings.Settings.model_fields}
    assert env.keys() <= known
    inside = mounts(SERVICES["bridge"])
    for name, value in env.items():
        if value.startswith("/"):
            assert any(Path(value).is_relative_to(target) for target in inside), f"{name}={value} is on no mount"


def test_the_bridge_shares_folders_under_the_same_paths() -> None:
    """Paths in what is published are those of the bridge: Prometheus and Alertmanager must see them alike."""
    bridge = {source: target for target, source in mounts(SERVICES["bridge"]).items()}
    for reader, volume in (("prometheus", "rules"), ("alertmanager", "alertmanager-config"),
                           ("alertmanager", "./alertmanager")):  # fmt: skip
        assert {source: target for target, source in mounts(SERVICES[reader]).items()}[volume] == bridge[volume]
    config = given("bridge")["FEATUREWATCH_ALERTMANAGER_CONFIG"]
    assert f"--config.file={config}" in SERVICES["alertmanager"]["command"]
    rules = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())["rule_files"]
    assert f"{given('bridge')['FEATUREWATCH_PROMETHEUS_RULES_DIR']}/*.yml" in rules
    assert set(SERVICES["bridge"]["group_add"]) == {str(stack_init.NOBODY[1])}
    for reader in ("prometheus", "alertmanager"):
        assert SERVICES[reader]["user"] == "{}:{}".format(*stack_init.NOBODY)
    assert SERVICES["bridge"]["user"] == "{}:{}".format(*stack_init.BRIDGE)


def test_each_credential_reaches_the_service_whose_user_owns_it() -> None:
    services = {"collector": "otel-collector"}
    for one in stack_init.CREDENTIALS:
        volume = f"credentials-{one.folder}"
        assert mounts(SERVICES["init"])[f"/stack/credentials/{one.folder}"] == volume
        if one.folder == "people":
            continue
        name = services.get(one.folder, one.folder)
        target = next(path for path, source in mounts(SERVICES[name]).items() if source == volume)
        assert SERVICES[name]["user"].split(":")[0] == str(one.owner[0])
        texts = [str(SERVICES[name]), *(Path(ROOT / config).read_text() for config in CONFIGURATIONS)]
        assert any(f"{target}/{one.name}" in text for text in texts), f"nothing reads {target}/{one.name}"


def test_no_secret_stands_in_a_file() -> None:
    """Neither a password nor a token, and no variable that would hold one."""
    texts = {name: (ROOT / name).read_text() for name in ("docker-compose.yml", "Dockerfile", *CONFIGURATIONS)}
    for name, text in texts.items():
        assert not re.search(r"fw_[a-z0-9]{8}_|://[^/\s:@]+:[^/\s@]+@", text), name
    secret = re.compile(r"(PASSWORD|SECRET|TOKEN|API_KEY)S?$")
    for name in SERVICES:
        assert not [variable for variable in given(name) if secret.search(variable)], name


@pytest.mark.parametrize("name", ["docker-compose.yml", *CONFIGURATIONS])
def test_every_address_is_that_of_a_service(name: str) -> None:
    """`service:port` and `//user@service/` name services of the file, at the ports on which they listen."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line.partition("# ")[0] for line in lines if not line.lstrip().startswith("image:"))
    known = "|".join(SERVICES)
    for host, port in re.findall(rf"(?<![\w./-])({known}):(\d+)\b", text):
        assert int(port) in PORTS[host], f"{name}: {host}:{port}"
    for url in re.findall(r"\b(?:https?|postgresql)://[^\s\"',\]}]+", text):
        host = urlsplit(url).hostname
        assert host in SERVICES or host in ("127.0.0.1", "localhost"), f"{name}: {url}"


def test_every_part_that_the_collector_uses_is_configured() -> None:
    told = yaml.safe_load((ROOT / "deploy/compose/collector.yaml").read_text(encoding="utf-8"))
    used: dict[str, set[str]] = {kind: set() for kind in ("receivers", "processors", "exporters")}
    for pipeline in told["service"]["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter", "what refuses stands first"
        for kind in used:
            used[kind].update(pipeline[kind])
    assert used == {kind: set(told[kind]) for kind in used}
    assert told["service"]["extensions"] == list(told["extensions"])
    assert told["exporters"]["otlphttp"]["auth"]["authenticator"] in told["extensions"]
    protocols = told["receivers"]["otlp"]["protocols"].values()
    inside = {text.rpartition(":")[2] for text in SERVICES["otel-collector"]["ports"]}
    assert {one["endpoint"].rpartition(":")[2] for one in protocols} == inside


def test_what_is_waited_for_can_be_healthy() -> None:
    for name, service in SERVICES.items():
        for other, wanted in service.get("depends_on", {}).items():
            assert other in SERVICES, name
            if wanted["condition"] == "service_healthy":
                assert "test" in SERVICES[other]["healthcheck"], f"{name} waits for {other}"
            if "profiles" in SERVICES[other] and "profiles" not in service:
                assert wanted["required"] is False, f"{other} starts with a profile alone"


def test_the_demo_app_understands_its_command() -> None:
    command = SERVICES["demo"]["command"]
    assert command[:2] == ["demo", "--app-only"]
    read = app.make_parser().parse_args(command[2:])
    assert (read.listen, read.endpoint) == (("0.0.0.0", 8000), "http://bridge:8400")


def test_postgres_is_reached_with_the_password_that_both_have(tmp_path: Path) -> None:
    lines = (ROOT / "deploy/compose/postgres.env").read_text().splitlines()
    env = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert env["COMPOSE_PROFILES"].split(",") == SERVICES["postgres"]["profiles"]
    with_postgres = load(env)["services"]["bridge"]["environment"]
    url = open_engine(with_postgres["FEATUREWATCH_DATABASE_URL"]).url
    assert (url.host, url.username, url.database) == (
        "postgres", given("postgres")["POSTGRES_USER"], given("postgres")["POSTGRES_DB"]
    )  # fmt: skip
    base = tmp_path / "base.yml"
    base.write_text("{}")
    stack_init.prepare(tmp_path, base)
    passfile = tmp_path / "credentials/bridge/pgpass"
    password = (tmp_path / "credentials/postgres/password").read_text()
    assert passfile.read_text() == f"*:*:*:*:{password}\n"
    assert str(url.query["passfile"]).endswith("/pgpass")


def test_grafana_looks_for_dashboards_where_they_are_mounted() -> None:
    for path in ROOT.glob("grafana/provisioning/dashboards/*.yml"):
        for provider in yaml.safe_load(path.read_text(encoding="utf-8"))["providers"]:
            assert mounts(SERVICES["grafana"])[provider["options"]["path"]] == "./grafana/dashboards"


def test_what_is_kept_fits_the_longest_that_is_asked_for() -> None:
    loki = yaml.safe_load((ROOT / "loki/loki.yaml").read_text())["limits_config"]
    read = settings.load(given("bridge"))
    assert int(loki["retention_period"].removesuffix("h")) * 3600 == read.log_retention
    assert "--data.retention=120h" in SERVICES["alertmanager"]["command"], "7200 minutes, the longest cooldown"


def test_the_image_is_made_of_what_the_ignore_file_lets_in() -> None:
    text = (ROOT / "Dockerfile").read_text()
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    stages = text.split("\nFROM ")[1:]
    assert len(stages) == 2
    copied = {
        source for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }  # fmt: skip
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
    assert re.findall(r"^USER (.+)$", stages[-1], re.M)[-1] == SERVICES["bridge"]["user"]
    assert "pip" not in stages[-1]
    extras = re.search(r"'\.\[([a-z,]+)\]'", text)
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert extras
    assert all(re.search(rf"^{extra} = \[", pyproject, re.M) for extra in extras[1].split(","))
    version = re.search(r'^version = "([^"]+)"', pyproject, re.M)
    assert version
    assert SERVICES["bridge"]["image"] == f"featurewatch:{version[1]}"


def test_init_makes_each_credential_once_and_anew_where_it_opens_nothing(tmp_path: Path) -> None:
    base = tmp_path / "base.yml"
    base.write_text("{}")
    made = stack_init.prepare(tmp_path, base)
    assert made == [f"{one.folder}/{one.name}" for one in stack_init.CREDENTIALS]
    assert stack_init.prepare(tmp_path, base) == []
    folder = tmp_path / "credentials"
    modes = {path.stat().st_mode & 0o077 for path in folder.rglob("*") if path.is_file()}
    assert modes == {0}
    (folder / "demo/bridge-token").unlink()
    (folder / "people/grafana-password").unlink()
    assert stack_init.prepare(tmp_path, base) == [
        "people/grafana-password",
        "grafana/admin-password",
        "demo/bridge-token",
    ]
    (folder / "bridge/tokens.json").unlink()
    assert len(stack_init.prepare(tmp_path, base)) == 4, "tokens whose hashes are lost open nothing"


def test_init_makes_tokens_for_apps_and_renews_what_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "base.yml"
    base.write_text("{}")
    place = ["--root", str(tmp_path), "--base", str(base)]
    demo = tmp_path / "credentials/demo/bridge-token"
    assert stack_init.main([*place, "--token", "shop"]) == 0
    text, before = capsys.readouterr().out.strip(), demo.read_text()
    known = tokens.load(tmp_path / "credentials" / stack_init.TOKENS)
    found = tokens.find(known, text, time.time_ns())
    assert found is not None
    assert (found.name, found.role) == ("shop", "ingest")
    assert stack_init.main([*place, "--renew", "demo/bridge-token"]) == 0
    assert capsys.readouterr().out == "made: demo/bridge-token\n"
    known = tokens.load(tmp_path / "credentials" / stack_init.TOKENS)
    assert tokens.find(known, before, time.time_ns()) is None, "the old one opens nothing any more"
    assert tokens.find(known, demo.read_text(), time.time_ns()) is not None


def test_a_broken_token_file_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tmp_path / "base.yml"
    base.write_text("{}")
    stack_init.prepare(tmp_path, base)
    (tmp_path / "credentials/bridge/tokens.json").chmod(0o600)
    (tmp_path / "credentials/bridge/tokens.json").write_text("[]")
    assert stack_init.main(["--root", str(tmp_path), "--base", str(base)]) == 1
    assert capsys.readouterr().err.startswith("featurewatch: ")
    assert stack_init.main(["--root", str(tmp_path), "--base", str(tmp_path / "none")]) == 1


def test_the_demo_command_takes_options_of_the_app_only_beside_app_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--listen", "127.0.0.1:0"]) == 2
    assert "expected --app-only beside --listen" in capsys.readouterr().err
