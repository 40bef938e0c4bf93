"""The champion moves by the journal: one move after another, each whole or finished by the next."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import registry
from tasks.errors import DataError
from tasks.journal import ChampionMoved, Move, mend, move, moves
from tasks.storage import BrokenWork, root_storage

MODEL = "small"


def add(count: int, complete: str = "true") -> None:
    """Register versions that name no files."""
    client = registry.client()
    if not client.search_registered_models(f"name = '{MODEL}'"):
        client.create_registered_model(MODEL)
    for _ in range(count):
        made = client.create_model_version(MODEL, "file:///nowhere")
        for tag, value in ((registry.COMPLETE_TAG, complete), (registry.CANDIDATE_TAG, "c")):
            client.set_model_version_tag(MODEL, made.version, tag, value)


def publish(version: str, before: str | None) -> Move:
    return move(MODEL, version, before=before, kind="publish", by="test", reason="better")


def by_hand(version: str) -> None:
    registry.client().set_registered_model_alias(MODEL, registry.CHAMPION, version)


def aliases() -> dict[str, str]:
    return {k: str(v) for k, v in registry.client().get_registered_model(MODEL).aliases.items()}


def chain() -> list[tuple[str | None, str, str]]:
    return [(m.before, m.version, m.kind) for m in moves(MODEL)]


def test_a_move_sets_both_aliases_and_is_kept_with_its_reason() -> None:
    add(2)
    publish("1", None)
    assert aliases() == {"champion": "1"}
    made = move(MODEL, "2", before="1", kind="promote", by="ann", reason="the new sensors")
    assert aliases() == {"champion": "2", "previous": "1"}
    assert moves(MODEL)[-1] == made
    assert made.summary == "promote of version 2 by ann: the new sensors"
    assert [m.number for m in moves(MODEL)] == [1, 2]


def test_a_move_from_a_champion_that_is_none_any_more_is_refused() -> None:
    add(3)
    publish("1", None)
    publish("2", "1")
    with pytest.raises(ChampionMoved, match=r"version 1 was champion .* now version 2 is"):
        publish("3", "1")
    assert aliases() == {"champion": "2", "previous": "1"}
    assert len(moves(MODEL)) == 2


def test_a_move_to_the_champion_itself_is_none() -> None:
    add(1)
    made = publish("1", None)
    assert publish("1", None) == made
    assert moves(MODEL) == [made]


def test_no_alias_moves_to_a_version_that_is_not_complete() -> None:
    add(1, complete="false")
    with pytest.raises(DataError, match="version 1 is not complete"):
        publish("1", None)
    with pytest.raises(DataError, match="has no version 7"):
        publish("7", None)
    assert aliases() == {}
    assert moves(MODEL) == []


def test_a_champion_of_before_the_journal_is_its_first_move() -> None:
    add(2)
    by_hand("1")
    publish("2", "1")
    assert chain() == [(None, "1", "outside"), ("1", "2", "publish")]


def test_an_alias_that_was_moved_by_hand_is_honoured_and_noted() -> None:
    add(3)
    publish("1", None)
    by_hand("2")
    mend(MODEL)
    mend(MODEL)
    assert chain() == [(None, "1", "publish"), ("1", "2", "outside")]
    with pytest.raises(ChampionMoved):
        publish("3", "1")
    publish("3", "2")
    assert aliases() == {"champion": "3", "previous": "2"}


def test_an_alias_that_was_removed_by_hand_leaves_no_champion() -> None:
    add(2)
    publish("1", None)
    registry.client().delete_registered_model_alias(MODEL, registry.CHAMPION)
    with pytest.raises(ChampionMoved, match="and now there is none"):
        publish("2", "1")
    publish("2", None)
    assert aliases() == {"champion": "2"}


class Killed(BaseException):
    """Stands for the end of the process."""


def cut(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Have the next move end before a step: the setting of an alias, or the word `done`."""
    from mlflow import MlflowClient

    set_alias: Callable[[MlflowClient, str, str, str], None]
    set_alias, create = MlflowClient.set_registered_model_alias, type(root_storage()).create

    def set_or_die(self: MlflowClient, name: str, alias: str, version: str) -> None:
        if alias == step:
            raise Killed
        set_alias(self, name, alias, version)

    def create_or_die(self: object, path: str, content: bytes) -> bool:
        if path.endswith(step):
            raise Killed
        return create(root_storage(), path, content)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_registered_model_alias", set_or_die)
        patch.setattr(type(root_storage()), "create", create_or_die)
        with pytest.raises(Killed):
            publish("2", "1")


@pytest.mark.parametrize("step", ["previous", "champion", ".done"])
def test_a_move_that_was_cut_off_is_finished_by_whoever_comes_next(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    add(3)
    publish("1", None)
    cut(monkeypatch, step)
    mend(MODEL)
    assert aliases() == {"champion": "2", "previous": "1"}
    publish("3", "2")
    assert chain() == [(None, "1", "publish"), ("1", "2", "publish"), ("2", "3", "publish")]


def test_a_move_that_was_cut_off_gives_way_to_one_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    add(3)
    publish("1", None)
    cut(monkeypatch, "champion")
    by_hand("3")
    mend(MODEL)
    assert aliases()["champion"] == "3"
    assert chain()[1:] == [("1", "2", "publish"), ("2", "3", "outside")]


@pytest.mark.parametrize("gone", ["deleted", "another"])
def test_a_move_that_was_cut_off_is_given_up_where_its_version_is_gone(
    monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    add(2)
    publish("1", None)
    cut(monkeypatch, "champion")
    if gone == "deleted":
        registry.client().delete_model_version(MODEL, "2")
    else:  # the same number in another registry
        registry.client().set_model_version_tag(MODEL, "2", registry.CANDIDATE_TAG, "other")
    mend(MODEL)
    assert aliases() == {"champion": "1"}


def test_where_nothing_was_moved_no_registry_is_asked() -> None:
    mend(MODEL)
    assert moves(MODEL) == []
    assert not Path(registry.local_home(), "registry").exists()


def test_a_move_that_cannot_be_read_is_named() -> None:
    add(1)
    publish("1", None)
    root_storage().create(f"journal/{MODEL}/000002.json", b"{}")
    with pytest.raises(BrokenWork, match=f"journal/{MODEL}/000002.json is no move"):
        mend(MODEL)
