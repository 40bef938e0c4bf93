"""A contract that cannot be used says where, which key, what was expected and what came."""

import pickle
from pathlib import Path

import pytest

from data_contracts.errors import ContractError, Problem
from data_contracts.loading import load_contract

TEXT = """\
format: 1
dataset: small
source: {kind: parquet, path: rows.parquet}
key: [id]
features:
  temp: {unit: K, bounds: [0, 400]}
  wind: {kind: cyclic, period: 360}
  state[3]: {}
targets:
  ahead: {unit: K, group: air, present: temp}
  tend[3]: {unit: K, present: "state[3]"}
target_groups:
  air: {}
split: {kind: random}
recipe: {base: shared_128_64, epochs: 3}
gate:
  rules:
    - {rule: baseline, baseline: mean}
    - {rule: absolute, targets: [ahead, tend], at_most: 4}
"""


@pytest.fixture
def problems(tmp_path: Path):
    """Return the problems of TEXT with one piece replaced, and with overrides."""

    def find(old: str = "", new: str = "", overrides: tuple[str, ...] = ()) -> list[Problem]:
        assert old in TEXT
        file = tmp_path / "small.yaml"
        file.write_text(TEXT.replace(old, new, 1) if old else TEXT)
        with pytest.raises(ContractError) as caught:
            load_contract(str(file), overrides)
        for problem in caught.value.problems:
            assert all((problem.key, problem.expected, problem.got))
            assert "\0" not in str(problem)
        return caught.value.problems

    return find


def place(problem: Problem) -> str:
    return problem.where.partition("small.yaml:")[2]


def test_the_contract_that_these_tests_break_is_whole(tmp_path):
    (tmp_path / "small.yaml").write_text(TEXT)
    assert load_contract(str(tmp_path / "small.yaml")).recipe.epochs == 3


KINDS = "one of: parquet, csv, feather, netcdf, zarr, sql, python"

# What each kind of mistake is told. The columns: what is replaced by what, then the place
# (line:column) and key, how what was expected begins or reads in part, how what came begins.
MISTAKES = [
    ("unit: K, b", "unit: K, bonds: 1, b", "6:19 features.temp.bonds", "one of: bounds", "bonds,"),
    ("format: 1", "format: 2", "1:1 format", "1", "2 (a whole num"),
    ("dataset: small", "dataset: ../x", "2:1 dataset", "lower-case letters", "'../x' (text)"),
    ("dataset: small", "dataset: other", "2:1 dataset", "small, as the file", "'other' (text)"),
    ("dataset: small\n", "", "1:1 dataset", "a value, which is required", "nothing"),
    ("parquet, p", "parqet, p", "3:10 source.kind", KINDS, "'parqet'"),
    ("kind: parquet, ", "", "3:1 source.kind", KINDS, "nothing"),
    ("{kind: parquet, path: rows.parquet}", "5", "3:1 source", "a mapping with the key kind", "5 "),
    ("[id]", "id", "4:1 key", "a list", "'id' (text)"),
    ("[id]", "[]", "4:1 key", "a list of at least 1", "[] (a list)"),
    ("[id]", "[id, id]", "4:11 key[1]", "each column once", "'id' (text)"),
    ("[id]", "[1]", "4:7 key[0]", "text", "1 (a whole num"),
    ("[0, 400]", "[400, 0]", "6:19 features.temp.bounds", "[least, greatest]", "[400.0, 0.0]"),
    ("[0, 400]", "[0, x]", "6:31 features.temp.bounds[1]", "a number", "'x' (text)"),
    ("[0, 400]", "[0]", "6:19 features.temp.bounds[1]", "a value, which is", "nothing"),
    ("[0, 400]", "[0, .inf]", "6:31 features.temp.bounds[1]", "a finite number", "inf (a number)"),
    ("cyclic", "cylic", "7:10 features.wind.kind", "one of: numeric, cyclic", "'cylic' (text)"),
    ("cyclic", "[cyclic]", "7:10 features.wind.kind", "one of: numeric", "['cyclic'] (a "),
    ("period: 360", "period: 0", "7:24 features.wind.period", "a number above 0", "0 (a"),
    ("period: 360", "period: 2024-01-01", "7:24 features.wind.period", "a number", "2024-01-01"),
    ("state[3]: {}", "state[3]:", "8:3 features.state[3]", "a mapping with the key kind", "noth"),
    ("state[3]: {}", "state[0]: {}", "8:3 features.state[0]", "1 to 10,000 columns", "'state[0]'"),
    ("state[3]: {}", "temp[99999]: {}", "8:3 features.temp[99999]", "1 to 10,000", "'temp[99999]'"),
    ("state[3]: {}", "tend[1]: {}", "11:3 targets.tend[3]", "no features", "'tend_0' (text"),
    ("wind:", "state_1:", "8:3 features.state[3]", "no other feature", "'state_1' (tex"),
    ("unit: K, g", "g", "10:3 targets.ahead.unit", "a value, which is required", "nothing"),
    ("unit: K, g", "unit: '', g", "10:11 targets.ahead.unit", "not empty", "'' (text)"),
    ("group: air", "group: ari", "10:20 targets.ahead.group", "one of target_groups: air", "'ari'"),
    ('"state[3]"}', "temp}", "11:22 targets.tend[3].present", "as many columns", "'temp' (text)"),
    (", present: temp", ", transform: change", "10:3 targets.ahead.present", "a column", "nothing"),
    ("  air: {}", "  air: {}\n  tend: {}", "14:3 target_groups.tend", "no target", "'tend'"),
    ("random", "time", "1:1 time", "a column, since the split is by time", "nothing"),
    ("random", "rndom", "14:9 split.kind", "one of: time, blocked, random, stratified", "'rndom'"),
    ("random", "random, train: 0.9", "14:1 split", "that make 1", "1.3 (a number)"),
    ("random", "time, gap: 5x", "14:21 split.gap", "a whole number and s, min, h or d", "'5x'"),
    ("epochs: 3", "epoch: 3", "15:31 recipe.epoch", "one of: activation,", "epoch, which i"),
    ("epochs: 3", "epochs: yes", "15:31 recipe.epochs", "a whole number", "true (true or "),
    ("base: shared", "base: sared", "15:10 recipe.base", "one of: auto, heads", "'sared_128_64'"),
    ("base: shared_128_64", "base: [1]", "15:10 recipe.base", "one of: auto, heads_64", "[1] (a l"),
    ("{base: shared_128_64, epochs: 3}", "big", "15:1 recipe", "one of: auto, heads_64", "'big'"),
    ("{base: shared_128_64, epochs: 3}", "5", "15:1 recipe", "a name (auto, heads_64", "5 ("),
    ("base: shared_128_64, ", "", "15:1 recipe", "{architecture: …, …}", "a mapping with"),
    ("base: s", "architecture: s", "15:10 recipe.architecture", "shared", "'shared_128_64"),
    ("rule: baseline", "rule: baselin", "18:8 gate.rules[0].rule", "one of: absolute", "'baselin'"),
    ("rule: baseline, ", "", "18:7 gate.rules[0].rule", "one of: absolute", "nothing"),
    ("baseline: mean", "baseline: meen", "18:24 gate.rules[0].baseline", "one of: mean,", "'meen'"),
    ("mean}", "mean, foo: 1}", "18:40 gate.rules[0].foo", "one of: baseline, by", "foo, which"),
    ("[ahead, t", "[ahed, t", "19:34 gate.rules[1].targets[0]", "a target or a target", "'ahed'"),
    (", at_most: 4", "", "19:7 gate.rules[1]", "either at_most or at_least", "'neither' (tex"),
    ("[ahead, t", "[dry, t", "19:34 gate.rules[1].targets[0]", "a target or a target", "'dry'"),
    ("gate:", "row_weight: ahead\ngate:", "16:1 row_weight", "is no target", "'ahead' (text)"),
    ("gate:", "evaluation: {baselines: [ridge]}\ngate:", "19:24 gate.rules[0].baseline",
     "one of evaluation.baselines: ridge", "'mean' (text)"),
    ("gate:", "constraints: [temp < wind]\ngate:", "16:15 constraints[0].holds",
     "with <=, >= or == between", "'temp < wind' "),
    ("gate:", "schedule: {cron: daily}\ngate:", "16:12 schedule.cron", "five fields", "'daily'"),
    ("gate:", "schedule: {cron: 0 0 * * *, timezone: Mars}\ngate:", "16:29 schedule.timezone",
     "an IANA name", "'Mars' (text)"),
    ("gate:", "publishing: {model: a/b}\ngate:", "16:14 publishing.model", "letters, dig", "'a/b'"),
    ("gate:", "evaluation: {repeats: 3}\ngate:", "16:14 evaluation.repeats",
     "1, since evaluation.folds is not set", "3 (a whole"),
    ("gate:", "evaluation: {publish: members}\ngate:", "16:14 evaluation.publish",
     "refit, since evaluation.folds is not set", "'members'"),
    ("gate:", "evaluation: {folds: 1}\ngate:", "16:14 evaluation.folds",
     "a number of 2 or more", "1 (a"),
    ("random}", "column, column: id}\nevaluation: {folds: 5}", "15:14 evaluation.folds",
     "nothing, since the split is by column", "5 (a whole"),
    ("random}", "time}\ntime: id\nevaluation: {folds: 5, repeats: 3}", "16:24 evaluation.repeats",
     "1, since the split is by time", "3 (a whole"),
    ("gate:", "training: {start: best}\ngate:", "16:12 training.start",
     "scratch, champion, or the number of a version", "'best'"),
    ("gate:", "evaluation: {folds: 5}\ntraining: {start: champion}\ngate:", "17:12 training.start",
     "scratch, since evaluation.folds tests on rows that a version has learned from", "'champion'"),
    ("gate:", "tuning: {minute: 20}\ngate:", "16:10 tuning.minute", "one of: found, g", "minute,"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place_and_key", "expected", "got"), MISTAKES)
def test_a_mistake_is_told_with_its_line_its_key_what_was_expected_and_what_came(
    problems, old, new, place_and_key, expected, got
):
    (problem,) = problems(old, new)
    assert f"{place(problem)} {problem.key}" == place_and_key
    assert expected in problem.expected
    assert problem.got.startswith(got)


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("period:", "perod: 1, period:", "did you mean 'period'?"),
        ("cyclic", "cylic", "did you mean 'cyclic'?"),
        ("[ahead, t", "[ahed, t", "did you mean 'ahead'"),
        ("group: air", "group: ari", "did you mean 'air'?"),
        ("base: shared", "base: shard", "did you mean 'shared_128_64'"),
    ],
)
def test_a_misspelled_word_comes_with_the_nearest_known_one(problems, old, new, hint):
    assert problems(old, new)[0].hint.startswith(hint)


def test_all_mistakes_of_a_file_are_told_at_once_in_the_order_of_the_file(problems):
    every = TEXT.replace("[id]", "id")
    every = every.replace("unit: K, b", "unit: 1, bonds: 1, b").replace("cyclic", "cylic")
    every = every.replace("epochs: 3", "epochs: 0, x: 1").replace("4}", "x}")
    found = problems(TEXT, every)
    assert [p.key for p in found] == [
        "key",
        "features.temp.unit",
        "features.temp.bonds",
        "features.wind.kind",
        "recipe.epochs",
        "recipe.x",
        "gate.rules[1].at_most",
    ]


def test_all_names_that_do_not_agree_are_told_at_once(problems):
    every = TEXT.replace("group: air", "group: x").replace("[ahead, tend", "[y, z")
    keys = [p.key for p in problems(TEXT, every)]
    assert keys == ["targets.ahead.group", "gate.rules[1].targets[0]", "gate.rules[1].targets[1]"]


def test_a_missing_key_inside_a_union_is_not_confused_with_the_option_of_the_same_name(problems):
    (problem,) = problems("rule: baseline, baseline: mean", "rule: baseline")
    assert problem.key == "gate.rules[0].baseline"
    assert problem.got == "nothing"


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("recipe.epochs=abc", "recipe.epochs"),
        ("recipe.epoch=5", "recipe.epoch"),
        ("split.train=0.9", "split"),
        ("gate.rules[1].targets=[ahed]", "gate.rules[1].targets[0]"),
        ("features.state[3].unit=5", "features.state[3].unit"),
        ("nope=1", "nope"),
        ("recipe=foo", "recipe"),
        ("features.temp=", "features.temp"),
    ],
)
def test_a_mistake_in_an_override_is_told_with_the_override_as_its_place(problems, override, key):
    (problem,) = problems(overrides=(override,))
    assert (problem.where, problem.key) == (f"--set {override}", key)


def test_a_mistake_that_an_override_brings_about_elsewhere_is_told_with_its_line(problems):
    (problem,) = problems(overrides=("evaluation.baselines=[ridge]",))
    assert (place(problem), problem.key) == ("18:24", "gate.rules[0].baseline")


def test_a_mistake_of_the_file_is_not_blamed_on_an_override_beside_it(problems):
    (problem,) = problems("random", "random, train: 0.9", overrides=("split.seed=5",))
    assert place(problem) == "14:1"


def test_an_override_mends_a_mistake_of_the_file(tmp_path):
    (tmp_path / "small.yaml").write_text(TEXT.replace("epochs: 3", "epochs: x"))
    assert load_contract(str(tmp_path / "small.yaml"), ["recipe.epochs=4"]).recipe.epochs == 4


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("recipe.epochs", "key=value"),
        ("=5", "key=value"),
        ("", "key=value"),
        ("a\udcffb=1", "key=value"),
        ("recipe.epochs=[", "a YAML value"),
        ("recipe.epochs=!!python/object:os.system {}", "a YAML value"),
        ("recipe.epochs=" + "[" * 5000, "a YAML value"),
        ("gate.rules[7].by=1", "the key of a field"),
        ("gate.rules[7]={}", "the key of a field"),
        ("gate.rules.by=1", "the key of a field"),
        ("features.tmp.unit=K", "the key of a field"),
        ("dataset.name=x", "the key of a field"),
        ("[0]=x", "the key of a field"),
        ("recipe..epochs=1", "a key such as"),
        ("gate.rules[-1].by=1", "a key such as"),
        ("gate.rules[=1", "a key such as"),
    ],
)
def test_an_override_that_names_no_field_or_has_no_value_is_refused(problems, override, expected):
    (problem,) = problems(overrides=(override,))
    assert problem.where == f"--set {override}"
    assert problem.expected.startswith(expected)


def test_a_misspelled_column_in_an_override_adds_no_column_but_names_the_nearest(problems):
    assert problems(overrides=("features.tmp.unit=K",))[0].hint == "did you mean 'temp'?"


def test_an_error_reads_as_place_and_key_then_expected_then_got_then_hint():
    problem = Problem("a.yaml:3:1", "recipe.epoch", "one of: epochs", "epoch", "did you mean?")
    assert str(ContractError([problem])).splitlines() == [
        "a.yaml:3:1: recipe.epoch",
        "  expected one of: epochs",
        "  got epoch",
        "  did you mean?",
    ]


def test_an_error_passes_to_another_process_whole():
    error = ContractError([Problem("a.yaml:1:1", "key", "a list", "nothing")])
    assert pickle.loads(pickle.dumps(error)).problems == error.problems
