"""The Kubernetes files: manifests held against the cluster's own schemas, and the templates of the
work pools against each other."""

import copy
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from flows.automations import HEARTBEAT

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deployments" / "kubernetes"
POOLS = ("cpu", "gpu")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
PLANTED = "admin:planted"

Manifest = dict[str, Any]


def template(pool: str) -> Manifest:
    """Return the base job template of a work pool."""
    found: Manifest = json.loads((FOLDER / f"{pool}.json").read_text("utf-8"))
    return found


def manifests() -> dict[str, Manifest]:
    """Return what is applied to the cluster, by kind and name."""
    files = sorted(FOLDER.glob("*.yaml"))
    found = [m for f in files for m in yaml.safe_load_all(f.read_text("utf-8"))]
    names = [m["metadata"].get("name") or m["metadata"]["generateName"] for m in found]
    return {f"{m['kind']}/{n}": m for m, n in zip(found, names, strict=True)}


def pods() -> dict[str, Manifest]:
    """Return the pods of all that is applied."""
    kinds = {k: m for k, m in manifests().items() if k.startswith(("Deployment", "Job"))}
    return {name: m["spec"]["template"]["spec"] for name, m in kinds.items()}


def restricted(pod: Manifest) -> None:
    """Hold a pod against the profile `restricted` of the pod security standards, and more."""
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in context
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        written = {m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")}
        assert written == {"/srv/polycast", "/tmp"}
    assert all(set(v) & {"emptyDir", "configMap"} for v in pod["volumes"])


def test_every_manifest_keeps_the_clusters_schema() -> None:
    assert len(manifests()) == 11
    for manifest in manifests().values():
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_the_schema_refuses_a_field_that_it_does_not_know() -> None:
    manifest = copy.deepcopy(manifests()["Deployment/worker-gpu"])
    manifest["spec"]["template"]["spec"]["enableServiceLink"] = False
    with pytest.raises(kubernetes_validate.ValidationError, match="enableServiceLink"):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", sorted(pods()))
def test_every_pod_is_restricted(name: str) -> None:
    restricted(pods()[name])


@pytest.mark.parametrize("pool", POOLS)
def test_every_variable_of_a_template_is_used_and_explained(pool: str) -> None:
    found = template(pool)
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(found["job_configuration"])))
    variables = found["variables"]["properties"]
    assert used == set(variables)
    assert all(v["title"] and v["description"] for v in variables.values())


def test_the_templates_differ_in_what_a_gpu_needs_alone() -> None:
    cpu, gpu = template("cpu"), template("gpu")
    for found in (cpu, gpu):
        for variable in found["variables"]["properties"].values():
            variable.pop("default", None)
    del gpu["variables"]["properties"]["gpus"]
    spec = gpu["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    del spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
    assert cpu == gpu


def test_every_setting_of_prefect_is_one_and_takes_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import Settings
    from prefect_kubernetes.settings import KubernetesSettings

    given = dict(manifests()["ConfigMap/polycast"]["data"])
    for pod in pods().values():
        for inside in pod["containers"]:
            given |= {e["name"]: e.get("value", PLANTED) for e in inside.get("env", [])}
    ours = {k: v for k, v in given.items() if k.startswith("PREFECT_")}
    assert len(ours) >= 9
    for key, value in ours.items():
        monkeypatch.setenv(key, value)
    taken = Settings().to_environment_variables(exclude_unset=True)
    taken |= KubernetesSettings().to_environment_variables(exclude_unset=True)
    for key, value in ours.items():
        assert value.lower() in taken[key].lower(), key
    assert ours["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == str(HEARTBEAT)


def test_no_manifest_holds_a_secret() -> None:
    assert not [name for name in manifests() if name.startswith("Secret")]
    for pod in pods().values():
        for inside in pod["containers"]:
            for entry in inside.get("env", []):
                secret = re.search(
                    r"AUTH_STRING$|CONNECTION_URL|STORE_URI|SECRET_ACCESS", entry["name"]
                )
                assert ("valueFrom" in entry) == bool(secret), entry["name"]


def test_a_worker_may_do_what_prefect_asks_of_it_in_its_namespace_alone() -> None:
    found = manifests()
    assert not [name for name in found if name.startswith("Cluster")]
    rules = {
        r: set(rule["verbs"])
        for rule in found["Role/polycast-worker"]["rules"]
        for r in rule["resources"]
    }
    assert rules["jobs"] >= {"create", "delete", "get", "list", "watch"}
    assert all(rules[r] == {"get", "list", "watch"} for r in ("pods", "pods/log", "events"))
    assert "secrets" not in rules


def test_all_images_are_ours_and_carry_the_projects_version() -> None:
    images = {inside["image"] for pod in pods().values() for inside in pod["containers"]}
    assert images == {f"polycast:{VERSION}-cpu"}


def test_the_readme_names_files_and_variables_that_are_there_and_every_key_of_a_secret() -> None:
    text = (ROOT / "deployments" / "README.md").read_text("utf-8")
    files = re.findall(r"(?:-f |--from-file=)(deployments/\S+)", text)
    assert len(files) >= 6
    assert all((ROOT / name).is_file() for name in files)
    wishes = set(re.findall(r"--job-variable (\w+)=", text))
    assert wishes
    assert wishes <= set(template("gpu")["variables"]["properties"])
    keys = set(re.findall(r"secretKeyRef.*?key['\"]?: ['\"]?(\w+)", json.dumps(manifests())))
    assert len(keys) == 3
    assert all(f"`{key}`" in text for key in keys)
