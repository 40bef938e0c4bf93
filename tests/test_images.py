"""The images: linted, pinned, run by nobody of weight, and made of files that are there."""

import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
from docker.utils.build import exclude_paths
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "deployments" / "images" / "Dockerfile"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
TARGETS = ("cpu", "cuda")

Line = tuple[str, str]
"""An instruction and what it says, such as COPY and its files."""


def lines() -> list[Line]:
    """Return the instructions of the Dockerfile, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.M)
    joined = re.sub(r"\\\n\s*", " ", text)
    split = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(word, rest) for word, rest in split]


def stages() -> dict[str, tuple[str, list[Line]]]:
    """Return by stage what it is made from, and its own instructions."""
    found: dict[str, tuple[str, list[Line]]] = {}
    name = ""
    for word, rest in lines():
        if word == "FROM":
            source, name = rest.split(" AS ")
            found[name] = (source, [])
        elif name:
            found[name][1].append((word, rest))
    return found


def whole(stage: str) -> list[Line]:
    """Return the instructions of a stage after those of the stages that it is made from."""
    source, own = stages()[stage]
    return (whole(source) if source in stages() else []) + own


def said(stage: str, word: str) -> list[str]:
    return [rest for found, rest in whole(stage) if found == word]


def context() -> list[str]:
    """Return the files that the builder gets, as Docker's own client picks them."""
    patterns = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    kept = [p for p in patterns if p and not p.startswith("#")]
    found = exclude_paths(str(ROOT), kept, dockerfile="deployments/images/Dockerfile")
    # These two always go along, for the builder itself.
    own = {".dockerignore", "deployments/images/Dockerfile"}
    return sorted(f for f in found - own if (ROOT / f).is_file())


def installed() -> dict[str, list[str]]:
    """Return by stage the extras that its `pip install` asks for."""
    found = {}
    for stage, (_, own) in stages().items():
        for word, rest in own:
            asked = re.search(r"pip\S* .*install (.*?)'\.\[(.+?)\]'", rest)
            if word == "RUN" and asked:
                assert asked[1].strip() == "-c constraints.txt"
                found[stage] = asked[2].split(",")
    return found


def test_hadolint_has_nothing_to_say() -> None:
    linter = Path(sysconfig.get_path("scripts")) / "hadolint"
    result = subprocess.run(
        [linter, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert result.stdout + result.stderr == ""
    assert result.returncode == 0


def test_hadolint_sees_a_base_that_is_not_pinned(tmp_path: Path) -> None:
    linter = Path(sysconfig.get_path("scripts")) / "hadolint"
    loose = tmp_path / "Dockerfile"
    loose.write_text("FROM python\nRUN apt-get update && apt-get install tini\n", "utf-8")
    result = subprocess.run([linter, loose], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "DL3006" in result.stdout


def test_every_stage_is_made_from_another_or_from_the_pinned_base() -> None:
    arguments = [rest for word, rest in lines() if word == "ARG"]
    assert len(arguments) == 1
    assert re.fullmatch(r"BASE=python:3\.11\.\d+-slim-\w+", arguments[0])
    for source, _ in stages().values():
        assert source == "${BASE}" or source in stages()


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_a_number_that_is_not_root(target: str) -> None:
    assert said(target, "USER") == ["10001:10001"]


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_holds_the_virtual_environment_alone(target: str) -> None:
    copied = said(target, "COPY")
    assert copied == [
        "--from=packages-cpu /usr/bin/tini-static /usr/bin/tini",
        f"--from=packages-{target} /opt/polycast /opt/polycast",
    ]
    assert not any("pip" in run or "apt-get" in run for run in said(target, "RUN"))


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_starts_through_tini_and_reports_to_nobody(target: str) -> None:
    assert said(target, "ENTRYPOINT") == ['["tini", "--"]']
    settings = dict(re.findall(r"(\w+)=(\S+)", " ".join(said(target, "ENV"))))
    assert settings["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert settings["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert settings["PYTHONSAFEPATH"] == "1"


def test_what_is_copied_is_there_and_reaches_the_builder() -> None:
    files = context()
    copied = [rest for word, rest in whole("packages-cpu") if word == "COPY"]
    sources = [name for rest in copied for name in rest.split()[:-1]]
    assert len(sources) >= 8
    for source in sources:
        assert any(f == source or f.startswith(f"{source}/") for f in files), source


def test_nothing_but_the_packages_reaches_the_builder() -> None:
    tops = {name.split("/")[0] for name in context()}
    assert tops == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"} | {
        "data_contracts",
        "tasks",
        "flows",
        "deployments",
    }
    assert not [f for f in context() if ".env" in f or "__pycache__" in f]


def test_the_files_that_reach_the_builder_make_a_whole_wheel(tmp_path: Path) -> None:
    for name in context():
        target = tmp_path / "context" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(tmp_path), str(tmp_path / "context")]
    subprocess.run(command, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    for top in ("data_contracts", "tasks", "flows"):
        modules = {f.relative_to(ROOT).as_posix() for f in (ROOT / top).rglob("*.py")}
        assert modules
        assert modules <= packed
    assert "deployments/prefect.yaml" in packed


def test_the_extras_that_the_images_install_are_there() -> None:
    extras = installed()
    assert set(extras) == {"packages-cpu", "packages-cuda"}
    assert set(extras["packages-cuda"]) - set(extras["packages-cpu"]) == {"cuda"}
    for names in extras.values():
        assert set(names) <= set(PROJECT["optional-dependencies"])


def test_the_servers_find_what_they_need_for_postgresql_and_object_storage() -> None:
    extras = installed()["packages-cpu"]
    asked = [r for extra in extras for r in PROJECT["optional-dependencies"].get(extra, [])]
    # MLflow reaches object storage by boto3, which it does not ask for itself.
    assert {"boto3", "s3fs", "psycopg"} <= {Requirement(r).name for r in asked}


def test_all_that_the_images_install_is_pinned() -> None:
    text = (ROOT / "constraints.txt").read_text("utf-8")
    pinned = {canonicalize_name(n) for n in re.findall(r"^([\w.-]+)==", text, re.M)}
    asked = [*PROJECT["dependencies"]]
    for extra in {name for names in installed().values() for name in names}:
        asked += PROJECT["optional-dependencies"][extra]
    names = {canonicalize_name(Requirement(r).name) for r in asked} - {"polycast"}
    assert names <= pinned, f"not in constraints.txt: {sorted(names - pinned)}"


def test_the_cuda_libraries_are_pinned() -> None:
    text = (ROOT / "constraints.txt").read_text("utf-8")
    pinned = {canonicalize_name(n) for n in re.findall(r"^([\w.-]+)==", text, re.M)}
    asked = [Requirement(r) for r in requires("tensorflow") or []]
    extra = {"extra": "and-cuda"}
    names = {
        canonicalize_name(r.name)
        for r in asked
        if r.marker and r.marker.evaluate(extra) and not r.marker.evaluate({"extra": ""})
    }
    assert len(names) > 5
    assert names <= pinned, f"not in constraints.txt: {sorted(names - pinned)}"


def test_the_images_carry_the_projects_version() -> None:
    named = re.findall(r"polycast:(\S+?)-(cpu|cuda)\b", DOCKERFILE.read_text("utf-8"))
    assert {target for _, target in named} == set(TARGETS)
    assert {version for version, _ in named} == {PROJECT["version"]}
