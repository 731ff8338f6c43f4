"""Layers and exported models on a GPU: the answers of the CPU, and cuDNN at work. Needs TensorFlow with a GPU."""

import pytest
import tensorflow as tf
from comparing import assert_same
from test_portable import (
    BATCH,
    CELLS,
    MASK,
    MASKS,
    SEQUENCES,
    TIME,
    UNITS,
    initial_state,
    inputs,
    make,
    randomized,
    traced,
)

from unroll.export.examples import from_json, replay
from unroll.models.recurrent.tracing import loop_alone
from unroll.serving.saved_model import SavedModel
from unroll.serving.versions import describe

if not tf.config.list_physical_devices("GPU"):
    pytest.skip("TensorFlow finds no GPU.", allow_module_level=True)

all_cells = pytest.mark.parametrize("mode", CELLS)
EXPORTS = ("exported_model", "exported_translation", "exported_captioning", "exported_language_model")


@pytest.fixture(autouse=True)
def all_digits_of_float32():
    """Products without TensorFloat-32, which rounds their factors to 10 bits."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


@all_cells
@pytest.mark.parametrize("go_backwards", [False, True])
def test_layers_for_export_equal_the_loop_of_the_cpu(mode, rng, go_backwards):
    with tf.device("CPU:0"):
        x = inputs(rng)
        layer = make(mode, go_backwards=go_backwards, return_sequences=True, return_state=True)
        randomized(layer, x, rng)
        state = initial_state(layer, rng)
    states = [tf.TensorSpec([None, UNITS], tf.float32)] * len(state)
    function = traced(
        lambda x, mask, *state: layer(x, mask=mask, initial_state=list(state)), SEQUENCES, MASK, *states
    )
    for mask in map(tf.constant, MASKS.values()):
        with tf.device("GPU:0"):
            found = function(x, mask, *state)
        with loop_alone(), tf.device("CPU:0"):
            expected = layer(x, mask=mask, initial_state=state)
        assert_same(found, expected)
    with tf.device("GPU:0"):
        outputs, *_ = function(x[:0], tf.constant(MASKS["full"][:0]), *(tensor[:0] for tensor in state))
    assert outputs.shape == (0, TIME, UNITS)


@all_cells
def test_ordinary_layers_equal_the_loop_of_the_cpu(mode, rng):
    x = inputs(rng)
    layer = randomized(make(mode, return_sequences=True), x, rng)
    for mask in [None, *MASKS.values()]:
        found = layer(x, mask=mask)
        with loop_alone():
            assert_same(found, layer(x, mask=mask))


@all_cells
@pytest.mark.parametrize("mask", [None, *MASKS])
@pytest.mark.parametrize("compiled", ["eager", "graph", "xla"])
def test_gradients_equal_those_of_the_loop(mode, rng, mask, compiled):
    x = inputs(rng)
    layer = randomized(make(mode, return_sequences=True), x, rng)
    weights = tf.constant(rng.normal(size=(BATCH, TIME, layer.units)), tf.float32)
    mask = None if mask is None else tf.constant(MASKS[mask])

    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, mask=mask, training=True) * weights)
        return loss, tape.gradient(loss, [x, *layer.trainable_weights])

    with loop_alone(), tf.device("CPU:0"):
        expected = gradients(x)
    if compiled == "xla":
        layer.use_cudnn = False
    if compiled != "eager":
        gradients = tf.function(gradients, jit_compile=compiled == "xla", autograph=False)
    assert_same(gradients(x), expected)


@pytest.mark.parametrize("export", EXPORTS)
def test_examples_of_an_export_get_the_answers_of_the_cpu(export, request):
    directory = request.getfixturevalue(export) / "1"
    replay(directory, SavedModel(directory).call)


@pytest.mark.parametrize("export", ["exported_model", "exported_translation"])
def test_encoders_of_an_export_run_cudnn(export, request):
    directory = request.getfixturevalue(export) / "1"
    signature, examples = next(iter(describe(directory)["examples"].items()))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(directory))
        definition = meta.signature_def[signature]
        feed = {
            definition.inputs[name].name: from_json(value) for name, value in examples[0]["inputs"].items()
        }
        metadata = tf.compat.v1.RunMetadata()
        session.run(
            {name: info.name for name, info in definition.outputs.items()},
            feed,
            options=tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE),
            run_metadata=metadata,
        )
    ran = [node.node_name for device in metadata.step_stats.dev_stats for node in device.node_stats]
    assert any("CudnnRNN" in name for name in ran)
