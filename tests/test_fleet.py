"""Many datasets at once: one's failure stops no other, and one summary tells of all."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from flows.choice import NothingChosen, choose
from flows.results import Result, gravest
from flows.server import free_port
from tests.walk import command, polycast, surroundings, write_contract

ASK_ALL = ("retrain", "--where", "dataset=set_*", "--parallel", "2")


def write_fleet(folder: Path, **changes: dict[str, object]) -> None:
    """Write a contract for each name, of the same rows, with its changes."""
    file = write_contract(folder)
    contract = yaml.safe_load(file.read_text("utf-8"))
    file.unlink()
    for name, own in changes.items():
        content = contract | {"dataset": name} | own
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        (file.parent / f"{name}.yaml").write_text(text, "utf-8")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two good datasets, one in breach and one that cannot be used."""
    folder = tmp_path_factory.mktemp("fleet")
    breach = {"expectations": {"table": [{"check": "row_count", "min": 10**9}]}}
    write_fleet(folder, set_a={}, set_b={"tags": ["wet"]}, set_c=breach)
    return folder


@pytest.fixture(scope="module")
def first(fleet: Path) -> "subprocess.CompletedProcess[str]":
    """Return the first retrain of all of them."""
    return polycast(fleet, *ASK_ALL)


def test_one_datasets_breach_stops_no_other(first: "subprocess.CompletedProcess[str]") -> None:
    assert first.returncode == 4, first.stdout + first.stderr
    for name in ("set_a", "set_b"):
        assert f"✔ {name}" in first.stdout
        assert f"{name} version 1, alias champion" in first.stdout
    assert "✘ set_c" in first.stdout
    assert "expected 1,000,000,000 or more, came 4,221" in first.stdout


def test_the_summary_lists_every_dataset_the_gravest_first(
    first: "subprocess.CompletedProcess[str]",
) -> None:
    table = first.stdout.split("3 datasets")[1]
    order = [line.split()[0] for line in table.splitlines() if line.strip().startswith("set_")]
    assert order == ["set_c", "set_a", "set_b"]


def test_a_fleet_with_nothing_to_do_says_so_and_starts_no_server(
    fleet: Path, first: "subprocess.CompletedProcess[str]"
) -> None:
    log = fleet / ".polycast" / "prefect" / "server.log"
    before = log.stat().st_mtime_ns
    again = polycast(fleet, "retrain", "--where", "tag=wet")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "✔ set_b  reused    Up to date" in again.stdout
    assert log.stat().st_mtime_ns == before


def test_a_contract_that_cannot_be_used_is_one_row_of_the_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fleet(tmp_path, set_a={}, set_b={"key": []})
    monkeypatch.chdir(tmp_path)
    datasets, unusable = choose([])
    assert "set_a" in datasets
    assert [(r.dataset, r.outcome, r.code) for r in unusable] == [("set_b", "Contract", 2)]


def test_where_chooses_by_tag_and_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fleet(tmp_path, set_a={"tags": ["wet"]}, set_b={"tags": ["wet", "cold"]}, other={})
    monkeypatch.chdir(tmp_path)
    assert choose(["tag=wet"])[0] == ["set_a", "set_b"]
    assert choose(["tag=wet", "tag=cold"])[0] == ["set_b"]
    assert choose(["dataset=set_*"])[0] == ["set_a", "set_b"]


def test_a_choice_that_nothing_fits_lists_the_tags_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fleet(tmp_path, set_a={"tags": ["wet"]})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NothingChosen, match=r"no dataset fits tag=dry\. Tags there are: .*wet"):
        choose(["tag=dry"])


def test_a_fleet_ends_with_the_gravest_of_its_codes() -> None:
    results = [Result("a", "Published"), Result("b", "Blocked", code=3), Result("c", "x", code=4)]
    assert gravest(results[:1]) == 0
    assert gravest([*results[:1], Result("e", "Waiting", code=5)]) == 5
    assert gravest([*results[:2], Result("e", "Waiting", code=5)]) == 3
    assert gravest(results[:2]) == 3
    assert gravest(results) == 4
    assert gravest([*results, Result("d", "Failed", code=1)]) == 1


@pytest.mark.parametrize("words", [("--all", "--where", "tag=x"), ("nyc_weather", "--all"), ()])
def test_a_dataset_and_all_of_them_are_not_asked_for_at_once(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    result = polycast(tmp_path, "retrain", *words)
    assert result.returncode == 2
    assert "expected one of DATASET, --all and --where" in result.stderr


def test_a_ray_cluster_of_this_machine_runs_them_too(
    fleet: Path, first: "subprocess.CompletedProcess[str]"
) -> None:
    pytest.importorskip("prefect_ray")
    rule = 'gate.rules=[{"rule": "baseline", "baseline": "mean"}]'
    words = ("--set", rule, "--from", "judge")
    result = polycast(fleet, *ASK_ALL, *words, POLYCAST_ENGINE="ray")
    assert result.returncode == 4, result.stdout + result.stderr
    assert "✔ set_a" in result.stdout
    assert "✔ set_b" in result.stdout
    assert "✘ set_c" in result.stdout


@pytest.fixture
def cluster(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Return the address of a Ray cluster of two nodes, each of a core and, it says, a GPU.

    They work in the test's folder, where the contracts are and the state goes.
    It listens at this machine's own address: Ray takes 127.0.0.1 for that when it joins a cluster.
    """
    pytest.importorskip("prefect_ray")
    from ray.util import get_node_ip_address

    port, host = free_port(), get_node_ip_address()
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))  # of the nodes and of who asks
    environment = surroundings({"RAY_USAGE_STATS_ENABLED": "0"})
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1"]
    ray += ["--num-gpus=1"]
    head = [*ray, "--head", f"--port={port}", "--include-dashboard=false"]
    nodes = []
    try:
        for words in (head, [*ray, f"--address={host}:{port}"]):
            with (tmp_path_factory.mktemp("ray") / "log").open("wb") as log:
                nodes.append(
                    subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=log, stderr=log)
                )
            time.sleep(10)
        yield f"{host}:{port}"
    finally:
        for node in reversed(nodes):
            node.terminate()
            node.wait(60)


@pytest.mark.slow
def test_each_retrain_gets_a_gpu_of_its_own_on_a_cluster_of_two_workers(
    cluster: str, tmp_path: Path
) -> None:
    write_fleet(tmp_path, set_a={}, set_b={}, set_c={})
    result = polycast(tmp_path, *ASK_ALL, "--gpus", "1", POLYCAST_ENGINE=cluster)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("Published") >= 3


@pytest.mark.slow
def test_a_fleet_that_is_killed_leaves_nothing_that_trains_on(tmp_path: Path) -> None:
    write_fleet(tmp_path, set_a={"recipe": {"base": "shared_128_64", "epochs": 10_000}})
    process = subprocess.Popen(command(*ASK_ALL), cwd=tmp_path, env=surroundings({}))
    deadline = time.monotonic() + 120
    while not list((tmp_path / ".polycast" / "candidates").glob("*/*/*")):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while left := _working_in(tmp_path):
        assert time.monotonic() < deadline, left
        time.sleep(0.5)


def _working_in(folder: Path) -> list[str]:
    """Return the command lines of processes whose working folder is this one."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if os.readlink(process / "cwd") == str(folder):
                    found.append((process / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
    return found
