"""One harness that every architecture goes through; one that is not in it fails it.

It runs on TensorFlow, or on the backend that KERAS_BACKEND names.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest

from data_contracts.contract import Contract
from data_contracts.recipes import ARCHITECTURES
from tasks.backends import backend
from tasks.learning import networks
from tasks.learning.architecture import Architecture, run_network
from tasks.learning.bundle import INNER_DRAWS, Bundle, Member, save_bundle
from tasks.learning.fit_preprocessing import fit_preprocessing
from tasks.learning.fitting import fit_member
from tasks.learning.layout import Layout, lay_out
from tasks.learning.limits import limits_of
from tasks.learning.networks import architecture
from tasks.learning.networks.kernel import KernelRegression
from tasks.learning.networks.outputs import Bounded
from tasks.learning.networks.parts import Blend, Forest
from tasks.learning.shards import Arrays, to_arrays
from tasks.learning.trainee import Trainee
from tests.builders import small_contract, small_rows
from tests.walk import surroundings

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "auto": [{}, {"members": 2, "loss": "gaussian_nll"}],
    "shared": [
        {},
        {"block": "residual", "normalization": "batch", "numeric_embedding": "periodic"},
        {"block": "gated", "normalization": "layer", "numeric_embedding": "piecewise_linear"},
        {"label_embedding": 2, "loss": "gaussian_nll"},
        {"l1": 1e-4, "l2": 1e-4, "activation": "mish"},
    ],
    "multi_head": [
        {},
        {
            "head_hidden": [8],
            "heads": {"b": {"hidden": [4, 4], "activation": "tanh", "loss": "crps"}},
        },
    ],
    "independent": [{}, {"loss": "crps"}],
    "ensemble": [{"members": 3}, {"members": 2, "loss": "gaussian_nll", "label_embedding": 2}],
    "joint_gaussian": [{}, {"covariance": "low_rank", "rank": 1}],
    "deep_gp": [{"features": 32}],
    "cvae": [{"latent": 2, "coder_width": 8, "codes": 1}],
    "mixture": [{"components": 3}],
    "quantile": [{}, {"levels": [0.1, 0.5, 0.9]}],
}
"""By architecture: the options it is tested with."""
CASES = [(name, options) for name, found in OPTIONS.items() for options in found]
NAMES = [f"{name}-{i}" for name, found in OPTIONS.items() for i in range(len(found))]
ROWS = 200
every_case = pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
every_architecture = pytest.mark.parametrize("name", OPTIONS)


def contract_of(name: str, options: dict[str, Any], **more: Any) -> Contract:
    small = {"hidden": [16, 16], "epochs": 1, "batch_size": ROWS // 2}
    return small_contract(recipe={"architecture": name} | small | options | more)


class Case:
    """One architecture with options: contract, layout, arrays, an untrained trainee."""

    def __init__(self, name: str, options: dict[str, Any], **more: Any) -> None:
        self.contract = contract_of(name, options, **more)
        rows = small_rows(ROWS)
        self.preprocessing = fit_preprocessing(self.contract, rows)
        self.arrays: Arrays = to_arrays(self.contract, self.preprocessing, rows)
        self.layout: Layout = lay_out(self.contract, self.preprocessing, self.arrays)
        self.kind: Architecture = architecture(name)

    def trainee(self, seed: int = 0) -> Trainee:
        keras.utils.set_random_seed(seed)
        recipe = self.contract.recipe
        return self.kind.trainee(self.kind.build(recipe, self.layout), recipe, self.layout)

    def answer(self, network: keras.Model, draws: int) -> Any:
        settings = self.kind.settings(self.contract.recipe, self.layout)
        random = np.random.default_rng(0)
        return self.kind.answer(network, self.arrays.inputs, settings, draws, random)


def test_every_architecture_goes_through_this_harness() -> None:
    recipes = {get_args(r.model_fields["architecture"].annotation)[0] for r in ARCHITECTURES}
    assert set(OPTIONS) == recipes == set(networks.BUILT_IN)


def test_every_class_that_is_saved_goes_through_this_harness() -> None:
    networks_seen = [Case(name, options).trainee().network for name, options in CASES]
    layers = {type(part) for n in networks_seen for part in n._flatten_layers(include_self=False)}
    saved = {
        found
        for name, found in keras.saving.get_custom_objects().items()
        if name.startswith("polycast>") and issubclass(found, keras.layers.Layer)
    }
    # Bounded needs targets with bounds: tests/test_outputs.py has them. The last step of auto
    # brings Forest, Blend and KernelRegression: test_auto.py and test_kernels.py have them.
    assert saved - layers == {Bounded, Forest, Blend, KernelRegression}


@every_case
def test_answers_have_the_shapes_they_say(name: str, options: dict[str, Any]) -> None:
    case = Case(name, options)
    answer = case.answer(case.trainee().network, draws=6)
    shape = (ROWS, 2)
    assert answer.mean.shape == shape
    assert np.isfinite(answer.mean).all()
    if answer.spread is not None:
        known = answer.spread[~np.isnan(answer.spread)]
        assert answer.spread.shape == shape
        assert (known > 0).all()
    for level in answer.quantiles or {}:
        assert answer.quantiles[level].shape == shape
    if answer.samples is not None:
        assert answer.samples.shape == (ROWS, 6, 2)
        assert np.isfinite(answer.samples).all()


@every_case
def test_a_network_is_rebuilt_from_its_config(name: str, options: dict[str, Any]) -> None:
    network = Case(name, options).trainee().network
    again = type(network).from_config(network.get_config())
    again.set_weights(network.get_weights())
    entries = [np.random.default_rng(0).normal(size=(5, i.shape[1])) for i in network.inputs]
    entry = entries if len(entries) > 1 else entries[0]
    found = [np.asarray(n.predict(entry, verbose=0)) for n in (network, again)]
    np.testing.assert_array_equal(*found)


@every_case
def test_one_step_lowers_the_loss(name: str, options: dict[str, Any]) -> None:
    case = Case(name, options)
    trainee = case.trainee()
    trainee.compile(optimizer=keras.optimizers.SGD(1e-2))
    data = (case.arrays.inputs, case.arrays.targets)
    before = trainee.evaluate(*data, batch_size=ROWS, verbose=0, return_dict=True)["loss"]
    trainee.fit(*data, batch_size=ROWS, epochs=1, verbose=0)
    after = trainee.evaluate(*data, batch_size=ROWS, verbose=0, return_dict=True)["loss"]
    assert after < before


@every_case
def test_rows_without_targets_have_a_gradient_of_exactly_zero(
    name: str, options: dict[str, Any]
) -> None:
    case = Case(name, options)
    trainee = case.trainee()
    trainee(case.arrays.inputs)
    for truth, idle in (
        (np.full_like(case.arrays.targets, np.nan), True),
        (np.where([True, False], np.nan, case.arrays.targets).astype("f"), False),
    ):

        def losses(truth: Any = truth) -> Any:
            inputs = keras.ops.convert_to_tensor(case.arrays.inputs)
            return keras.ops.sum(
                trainee.losses_of(inputs, truth, trainee(inputs, training=False), True), axis=0
            )

        kernels = [v for v in trainee.trainable_variables if v.name == "kernel"]
        slopes = [backend().gradients(losses, kernels[i]) for i in (0, len(kernels) // 2, -1)]
        assert all(np.isfinite(s).all() for s in slopes)
        assert all(not s.any() for s in slopes) == idle


@every_architecture
def test_half_of_the_bits_are_enough(name: str) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        case = Case(name, OPTIONS[name][-1])
        trainee = case.trainee()
        trainee.compile(optimizer=keras.optimizers.Adam(1e-3), jit_compile=True)
        data = (case.arrays.inputs, case.arrays.targets)
        assert np.isfinite(trainee.fit(*data, batch_size=ROWS, verbose=0).history["loss"]).all()
        assert np.isfinite(case.answer(trainee.network, 2).mean).all()
    finally:
        keras.config.set_dtype_policy(before)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the steps of training one by one as they come."""

    def compile(trainee: Trainee, **options: Any) -> None:
        keras.Model.compile(trainee, **options | {"run_eagerly": True, "jit_compile": False})

    monkeypatch.setattr(Trainee, "compile", compile)


@every_architecture
@pytest.mark.usefixtures("uncompiled")
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    # tests/test_learning.py compiles the steps.
    case = Case(name, OPTIONS[name][0], dropout=0.1)
    found = []
    for _ in range(2):
        member, _curve = fit_member(case.contract, case.preprocessing, case.arrays, case.arrays)
        found.append([np.asarray(w).tobytes() for w in member.network.get_weights()])
    assert found[0] == found[1]


@pytest.fixture(scope="module")
def bundles(request: pytest.FixtureRequest) -> dict[str, Bundle]:
    """Return a bundle of every case asked for, with the weights that its network started with."""
    found = {}
    asked = {i.callspec.params.get("case") for i in request.session.items if hasattr(i, "callspec")}
    for (name, options), case in zip(CASES, NAMES, strict=True):
        if case not in asked:
            continue
        own = Case(name, options)
        network, recipe = own.trainee().network, own.contract.recipe
        beside = own.kind.beside(recipe, own.layout, own.arrays)
        network = own.kind.finish(network, recipe, own.layout, own.arrays, beside)
        settings, limits = own.kind.settings(recipe, own.layout), limits_of(own.contract, (1, 1))
        found[case] = Bundle([Member(network, own.preprocessing, name, settings, limits)])
    return found


@pytest.fixture(scope="module")
def saved(bundles: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save every bundle, and let one other process load all and answer."""
    folder = tmp_path_factory.mktemp("bundles")
    for case, bundle in bundles.items():
        save_bundle(bundle, folder / case)
    program = f"""
import numpy as np
from pathlib import Path
from tasks.learning.bundle import load_bundle
from tests.builders import small_rows
for name in {list(bundles)!r}:
    found = load_bundle(Path({str(folder)!r}) / name).predict(small_rows(seed=2), draws=4)
    np.savez(Path({str(folder)!r}) / (name + ".npz"), mean=found.mean, samples=found.samples
             if found.samples is not None else np.zeros(0))
"""
    subprocess.run([sys.executable, "-c", program], env=surroundings({}), check=True, stderr=-3)
    return folder


@pytest.mark.parametrize("case", NAMES)
def test_a_bundle_answers_the_same_in_another_process(
    saved: Path, bundles: dict[str, Bundle], case: str
) -> None:
    here = bundles[case].predict(small_rows(seed=2), draws=4)
    with np.load(saved / f"{case}.npz") as there:
        np.testing.assert_allclose(there["mean"], here.mean, rtol=1e-4, atol=1e-5)
        if here.samples is not None:
            np.testing.assert_allclose(there["samples"], here.samples, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", NAMES)
def test_a_row_is_answered_alike_alone_and_among_others(
    bundles: dict[str, Bundle], case: str
) -> None:
    bundle = bundles[case]
    rows = small_rows(30, seed=2)
    every, alone = (bundle.predict(r, draws=4) for r in (rows, rows.slice(7, 1)))
    np.testing.assert_allclose(alone.mean[0], every.mean[7], rtol=1e-4, atol=1e-5)
    if every.samples is not None and alone.samples is not None:
        np.testing.assert_allclose(alone.samples[0], every.samples[7], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", NAMES)
def test_asking_for_samples_changes_nothing_else(bundles: dict[str, Bundle], case: str) -> None:
    rows = small_rows(30, seed=2)
    plain, drawn = (bundles[case].predict(rows, draws) for draws in (0, 3))
    np.testing.assert_array_equal(drawn.mean, plain.mean)
    if plain.spread is not None and drawn.spread is not None:
        np.testing.assert_array_equal(drawn.spread, plain.spread)


@pytest.mark.parametrize("case", NAMES)
def test_many_rows_are_answered_a_few_at_a_time(
    bundles: dict[str, Bundle], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = small_rows(30, seed=2)
    every = bundles[case].predict(rows, draws=4)
    asked: list[int] = []

    def answer(network: Any, inputs: Any, *more: Any) -> Any:
        asked.append(len(inputs))
        return type(kind).answer(kind, network, inputs, *more)

    kind = architecture(bundles[case].members[0].architecture)
    monkeypatch.setattr(kind, "answer", answer)
    monkeypatch.setattr("tasks.learning.bundle.NUMBERS", 60)
    some = bundles[case].predict(rows.to_pandas(), draws=4)
    assert max(asked) < len(rows)
    np.testing.assert_allclose(some.mean, every.mean, rtol=1e-4, atol=1e-5)
    for found, known in ((some.spread, every.spread), (some.samples, every.samples)):
        assert (found is None) == (known is None)
        if found is not None and known is not None:
            np.testing.assert_allclose(found, known, rtol=1e-4, atol=1e-5)
    for level, known in (every.quantiles or {}).items():
        np.testing.assert_allclose((some.quantiles or {})[level], known, rtol=1e-4, atol=1e-5)


def test_an_unknown_architecture_is_told_with_those_there_are() -> None:
    with pytest.raises(
        ValueError, match="architecture 'nothing': expected auto, shared, multi_head"
    ):
        architecture("nothing")


def test_a_networks_output_comes_batch_by_batch_as_float64() -> None:
    case = Case("shared", {})
    raw = run_network(case.trainee().network, case.arrays.inputs)
    assert (raw.dtype, raw.shape) == (np.float64, (ROWS, 2))
    assert INNER_DRAWS % 2 == 0  # Noise comes in opposites, so that its mean is nothing.
