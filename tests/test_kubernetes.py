"""The Kubernetes manifests, held by the API's own schemas, and by what is known of how their parts must fit."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from featurewatch import settings
from featurewatch.bridge.origin import host_allowed
from featurewatch.commands import stack_init
from featurewatch.stores import recording

ROOT: Final = Path(__file__).parents[1]
BASE: Final = ROOT / "deploy/kubernetes/base"
OVERLAY: Final = ROOT / "deploy/kubernetes/postgres"
VERSIONS: Final = ("1.29", kubernetes_validate.latest_version())
"""The oldest that is looked at, and the newest that the schemas know."""

MONITOR: Final = {
    "endpoints": {"port", "path", "interval", "scrapeTimeout", "authorization"}, "selector": {"matchLabels"},
    "sampleLimit": int,
}  # fmt: skip
"""The fields of a ServiceMonitor that are used here. Strict: the operator's API ignores one that is misspelt."""


def load(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return told


MANIFESTS: Final = {path.stem: load(path) for path in sorted(BASE.glob("*.yaml")) if path.stem != "kustomization"}
POD: Final = MANIFESTS["deployment"]["spec"]["template"]["spec"]
(BRIDGE,) = POD["containers"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [name for name, one in MANIFESTS.items() if "monitoring" not in one["apiVersion"]])
def test_a_manifest_is_as_the_api_has_it(name: str, version: str) -> None:
    kubernetes_validate.validate(MANIFESTS[name], version, strict=True)


def test_the_schemas_refuse_a_field_that_does_not_exist() -> None:
    broken = load(BASE / "deployment.yaml")
    broken["spec"]["template"]["spec"]["runAsNonRoot"] = True
    with pytest.raises(kubernetes_validate.ValidationError, match="runAsNonRoot"):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("folder", [BASE, OVERLAY], ids=lambda folder: folder.name)
def test_the_kustomization_names_every_file_beside_it(folder: Path) -> None:
    told = load(folder / "kustomization.yaml")
    known = {"apiVersion", "kind", "namespace", "labels", "resources", "images", "patches"}
    assert told.keys() <= known
    named = [*told.get("resources", ()), *(patch["path"] for patch in told.get("patches", ()))]
    assert all((folder / name).exists() for name in named)
    assert {path.name for path in folder.glob("*.yaml")} == {name for name in named if name != "../base"} | {
        "kustomization.yaml"
    }


def test_the_pod_is_restricted() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and a little more."""
    assert MANIFESTS["namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod, container = POD["securityContext"], BRIDGE["securityContext"]
    assert (pod["runAsNonRoot"], pod["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert (pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"]) == (*stack_init.BRIDGE, stack_init.BRIDGE[1])
    assert container == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert not {"hostNetwork", "hostPID", "hostIPC"} & POD.keys()
    assert {next(iter(volume.keys() - {"name"})) for volume in POD["volumes"]} <= {
        "configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret",
    }  # fmt: skip
    assert POD["automountServiceAccountToken"] is False
    assert MANIFESTS["serviceaccount"]["automountServiceAccountToken"] is False
    assert BRIDGE["resources"]["limits"]["memory"]


def test_the_service_does_not_become_a_setting() -> None:
    """For a service `featurewatch`, Kubernetes sets FEATUREWATCH_PORT=tcp://… in pods that do not refuse it."""
    assert MANIFESTS["service"]["metadata"]["name"] == "featurewatch"
    assert POD["enableServiceLinks"] is False


def test_its_settings_are_known_valid_and_no_secret() -> None:
    env = MANIFESTS["configmap"]["data"]
    assert all(isinstance(value, str) for value in env.values())
    assert settings.unknown_names(env) == []
    read = settings.load(env)
    for host in ("featurewatch", "featurewatch.featurewatch.svc", "featurewatch.example.com", "10.1.2.3"):
        assert host_allowed(f"{host}:8400", read), host
    places = [mount["mountPath"] for mount in BRIDGE["volumeMounts"]]
    for value in env.values():
        assert not value.startswith("/") or any(Path(value).is_relative_to(place) for place in places), value
    assert not re.search(r"://[^/\s:@]+:[^/\s@]+@|fw_[a-z0-9]{8}_", str(MANIFESTS))
    assert not [one for one in MANIFESTS.values() if one["kind"] == "Secret"]


def test_names_and_labels_lead_to_each_other() -> None:
    labels = MANIFESTS["deployment"]["spec"]["template"]["metadata"]["labels"]
    assert MANIFESTS["deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert MANIFESTS["service"]["spec"]["selector"] == labels
    assert MANIFESTS["networkpolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    monitor = MANIFESTS["servicemonitor"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= MANIFESTS["service"]["metadata"]["labels"].items()
    (port,) = MANIFESTS["service"]["spec"]["ports"]
    (listens,) = BRIDGE["ports"]
    assert port["targetPort"] == listens["name"] == monitor["endpoints"][0]["port"] == port["name"]
    assert port["port"] == listens["containerPort"] == settings.load({}).port
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    assert volumes.keys() == {mount["name"] for mount in BRIDGE["volumeMounts"]}
    assert (
        volumes["data"]["persistentVolumeClaim"]["claimName"] == MANIFESTS["persistentvolumeclaim"]["metadata"]["name"]
    )
    assert BRIDGE["envFrom"] == [{"configMapRef": {"name": MANIFESTS["configmap"]["metadata"]["name"]}}]
    assert POD["serviceAccountName"] == MANIFESTS["serviceaccount"]["metadata"]["name"]
    strategy = MANIFESTS["deployment"]["spec"]
    assert (strategy["replicas"], strategy["strategy"]["type"]) == (1, "Recreate"), "one bridge on one data directory"


def test_the_policy_lets_out_to_whom_the_settings_name() -> None:
    env, policy = MANIFESTS["configmap"]["data"], MANIFESTS["networkpolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    out = {
        (peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], port["port"])
        for rule in policy["egress"] for peer in rule.get("to", ()) for port in rule["ports"]
    }  # fmt: skip
    for url in (env[f"FEATUREWATCH_{name}"] for name in ("PROMETHEUS_URL", "LOKI_URL", "ALERTMANAGER_URLS")):
        found = re.fullmatch(r"http://[a-z-]+\.([a-z-]+)\.svc(?::(\d+))?", url)
        assert found, url
        assert (found[1], int(found[2] or 8080)) in out, url
    assert ("kube-system", 53) in out
    assert all("ports" in rule for rule in (*policy["ingress"], *policy["egress"]))


def test_the_monitor_says_what_the_operator_understands() -> None:
    monitor = MANIFESTS["servicemonitor"]
    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "ServiceMonitor")
    assert monitor.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert monitor["spec"].keys() == MONITOR.keys()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint.keys() == MONITOR["endpoints"]
    assert endpoint["authorization"] == {
        "type": "Bearer", "credentials": {"name": "featurewatch-scrape", "key": "token"},
    }  # fmt: skip
    assert all(re.fullmatch(r"\d+s", endpoint[name]) for name in ("interval", "scrapeTimeout"))
    assert isinstance(monitor["spec"]["sampleLimit"], int)


def test_the_recording_rules_are_those_of_the_rule_file(tmp_path: Path) -> None:
    told = MANIFESTS["prometheusrule"]
    assert (told["apiVersion"], told["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert told["spec"] == yaml.safe_load(recording.document())
    assert all(group.keys() == {"name", "interval", "rules"} for group in told["spec"]["groups"])
    if shutil.which("promtool") is None:
        pytest.skip("no promtool (tests/install-system-packages installs it)")
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(told["spec"]))
    done = subprocess.run(["promtool", "check", "rules", str(tmp_path / "rules.yml")], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_overlay_patches_what_is_there() -> None:
    patch, base = load(OVERLAY / "deployment.yaml"), MANIFESTS["deployment"]
    assert (patch["kind"], patch["metadata"]["name"]) == (base["kind"], base["metadata"]["name"])
    assert patch["metadata"]["namespace"] == load(BASE / "kustomization.yaml")["namespace"]
    (container,) = patch["spec"]["template"]["spec"]["containers"]
    assert container["name"] == BRIDGE["name"]
    (variable,) = container["env"]
    assert settings.unknown_names({variable["name"]: ""}) == []
    merged = load(BASE / "deployment.yaml")
    merged["spec"]["template"]["spec"]["containers"][0]["env"] = container["env"]
    kubernetes_validate.validate(merged, VERSIONS[-1], strict=True)
    (operation,) = yaml.safe_load((OVERLAY / "networkpolicy.yaml").read_text())
    assert (operation["op"], operation["path"]) == ("add", "/spec/egress/-")
    policy = load(BASE / "networkpolicy.yaml")
    policy["spec"]["egress"].append(operation["value"])
    kubernetes_validate.validate(policy, VERSIONS[-1], strict=True)
