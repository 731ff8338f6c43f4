"""The next-element model: its losses, its states, and stepwise reading and writing."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from comparing import assert_same

from unroll.models import next_token
from unroll.models.blocks.precision import dtype_policy
from unroll.models.decoding import Sampling, sample
from unroll.models.language_model import LanguageModel
from unroll.models.options import LanguageModelOptions
from unroll.models.recurrent import CELLS

BATCH, TIME, IDS, UNITS = 4, 7, 11, 6
KINDS = {
    "lstm": {"cell": "lstm", "layers": 2, "embedding_size": 5},
    "simple_rnn": {"cell": "simple_rnn", "layers": 2, "embedding_size": 5},
    "one_hot": {"cell": "lstm"},
    "skips": {"cell": "lstm", "layers": 2, "embedding_size": 5, "skip_connections": True},
    "tied": {"cell": "lstm", "embedding_size": UNITS, "tie_embeddings": True},
}


@pytest.fixture(autouse=True)
def same_weights_each_time():
    keras.utils.set_random_seed(0)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def ids(rng):
    return tf.constant(rng.integers(0, IDS, size=(BATCH, TIME)), tf.int32)


def built(kind="lstm", rng=None, seed=0, **options):
    """A model; with random weights, biases included, if `rng` is given."""
    model = LanguageModel(IDS, LanguageModelOptions(**({"units": UNITS} | KINDS[kind] | options)), seed=seed)
    model(tf.ones([1, 1], tf.int32))
    if rng is not None:
        model.set_weights([rng.normal(size=w.shape, scale=0.7) for w in model.get_weights()])
    return model


def random_states(model, rng, rows=BATCH):
    return tf.nest.map_structure(
        lambda s: tf.constant(rng.normal(size=s.shape), tf.float32), model.recurrent.get_initial_state(rows)
    )


def mean_loss(model, ids, **call):
    logits, _ = model(ids[:, :-1], **call)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(ids[:, 1:], logits))


def row_of(states, row):
    return tf.nest.map_structure(lambda s: s[row : row + 1], states)


# The call.


def test_a_new_model_holds_all_ids_for_equally_likely(kind, ids):
    assert abs(float(mean_loss(built(kind, units=UNITS), ids)) - np.log(IDS)) < 0.1


def test_logits_are_of_each_step_and_float32(kind, ids):
    model = built(kind)
    logits, states = model(ids)
    assert logits.shape == (BATCH, TIME, IDS)
    assert logits.dtype == tf.float32
    tf.nest.assert_same_structure(states, model.recurrent.get_initial_state(BATCH))


def test_no_step_knows_what_comes_after_it(kind, ids, rng):
    model = built(kind, rng)
    changed = tf.concat([ids[:, :4], (ids[:, 4:] + 1) % IDS], axis=1)
    ours, theirs = model(ids)[0], model(changed)[0]
    assert_same(ours[:, :4], theirs[:, :4])
    assert (np.abs(ours - theirs)[:, 4:].max(axis=(0, 2)) > 1e-3).all()


@pytest.mark.parametrize("cut", [1, 4])
def test_two_calls_that_carry_the_states_are_one(kind, ids, rng, cut):
    model = built(kind, rng)
    states = random_states(model, rng)
    logits, last = model(ids, states=states)
    first, between = model(ids[:, :cut], states=states)
    second, end = model(ids[:, cut:], states=between)
    assert_same((tf.concat([first, second], axis=1), end), (logits, last))
    assert np.abs(model(ids[:, cut:])[0] - second).max() > 1e-3


def test_padding_and_companions_change_nothing(kind, ids, rng):
    model = built(kind, rng)
    lengths = np.array([7, 1, 4, 2])
    mask = tf.sequence_mask(lengths, TIME)
    logits, states = model(ids, mask=mask)
    for row, length in enumerate(lengths):
        alone, own = model(ids[row : row + 1, :length])
        assert_same((logits[row : row + 1, :length], row_of(states, row)), (alone, own))


def test_one_hot_vectors_stand_for_ids(ids):
    model = built("one_hot")
    vectors = model.vectors(ids)
    assert vectors.dtype == tf.float32
    np.testing.assert_array_equal(vectors, np.eye(IDS)[ids.numpy()])
    assert model.embedding is None
    assert model.recurrent.layers[0].kernel.shape == (IDS, 4 * UNITS)


def test_vectors_are_those_of_the_embedding(ids, rng):
    model = built("lstm", rng)
    np.testing.assert_array_equal(model.vectors(ids), np.array(model.embedding.embeddings)[ids.numpy()])


# Training.


def test_every_weight_is_trained(kind, rng):
    model = built(kind, rng)
    # Each id is read and predicted.
    ids = tf.constant(np.stack([rng.permutation(IDS) for _ in range(BATCH)]), tf.int32)
    ids = tf.concat([ids, ids], axis=1)
    with tf.GradientTape() as tape:
        loss = mean_loss(model, ids)
    variables = model.trainable_variables
    assert len(variables) == 3 * KINDS[kind].get("layers", 1) + {"one_hot": 2, "tied": 2}.get(kind, 3)
    for variable, gradient in zip(variables, tape.gradient(loss, [v.value for v in variables]), strict=True):
        assert gradient is not None, variable.path
        gradient = tf.convert_to_tensor(gradient).numpy()
        assert gradient.shape == variable.shape
        assert np.isfinite(gradient).all()
        assert (np.abs(gradient) > 0).mean() > 0.9, variable.path


def test_tied_embeddings_are_one_variable_read_and_written(ids, rng):
    model = built("tied", rng)
    assert model.logits_layer.kernel is None
    assert [weight.path for weight in model.trainable_variables if "embedding" in weight.path] == [
        model.embedding.embeddings.path
    ]
    assert sum(weight.shape == (IDS, UNITS) for weight in model.trainable_variables) == 1
    hidden, _ = model.recurrent(model.vectors(ids))
    kernel, bias = np.array(model.embedding.embeddings), np.array(model.logits_layer.bias)
    assert_same(model(ids)[0], tf.constant(hidden.numpy() @ kernel.T + bias))
    # Both ways give it a gradient: id 0 is not read, but still pushed away from the predictions.
    with tf.GradientTape() as tape:
        loss = mean_loss(model, tf.ones([1, 3], tf.int32))
    gradient = tf.convert_to_tensor(tape.gradient(loss, model.embedding.embeddings.value)).numpy()
    assert np.abs(gradient[0]).max() > 0


@pytest.mark.parametrize("size", [0, UNITS - 1])
def test_tied_embeddings_of_another_size_are_refused(size):
    with pytest.raises(ValueError, match=f"to be equal, but they are {size} and {UNITS}"):
        LanguageModelOptions(units=UNITS, embedding_size=size, tie_embeddings=True)


@pytest.mark.parametrize("kind", ["lstm", "one_hot", "tied"])
def test_a_tiny_text_is_learnt_by_heart(kind):
    text = tf.constant([[0, 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 0]])
    model = built(kind, units=24, embedding_size=0 if kind == "one_hot" else 24, layers=1)
    optimizer = keras.optimizers.Adam(0.03)

    @tf.function
    def train():
        with tf.GradientTape() as tape:
            loss = mean_loss(model, text, training=True)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    losses = [float(train()) for _ in range(100)]
    assert losses[0] > 2
    assert losses[-1] < 0.1
    reading = model.read(text[:, :1], tf.constant([1]))
    greedy = Sampling(tf.zeros([1]), tf.zeros([1], tf.int32), tf.ones([1]), tf.zeros([1], tf.int64))
    written, score, *_ = sample(model.stepper(), reading.logits, reading.states, greedy, tf.constant([30]), 0)
    assert written.numpy().tolist() == [text[0, 1:].numpy().tolist()]
    assert abs(float(score[0]) - float(model.read(text[:, :-1], tf.constant([16])).log_probability[0])) < 1e-3


def dropped_before_the_logits(model, ids, monkeypatch, training=True):
    """True where a unit is dropped on its way to the logits, [batch, time, units]."""
    with monkeypatch.context() as patched:
        patched.setattr(model, "logits", lambda hidden: hidden)
        hidden, _ = model(ids, training=training)
    return hidden.numpy() == 0


@pytest.mark.parametrize("kind", ["lstm", "one_hot", "tied"])
def test_the_same_units_are_dropped_at_all_steps_of_a_window(kind, ids, rng, monkeypatch):
    size = 40 if kind == "tied" else KINDS[kind].get("embedding_size", 0)
    model = built(kind, rng, units=40, embedding_size=size, dropout=0.5)
    one = dropped_before_the_logits(model, ids, monkeypatch)
    assert (one == one[:, :1]).all()
    assert 0.3 < one[:, 0].mean() < 0.7
    assert len({tuple(row) for row in one[:, 0]}) == BATCH
    other = dropped_before_the_logits(model, ids, monkeypatch)
    assert (one[:, 0] != other[:, 0]).any()
    assert not dropped_before_the_logits(model, ids, monkeypatch, training=False).any()


@pytest.mark.parametrize("option", ["dropout", "recurrent_dropout"])
def test_dropout_is_for_training_alone(kind, ids, rng, option):
    model, plain = built(kind, rng, **{option: 0.5}), built(kind)
    plain.set_weights(model.get_weights())
    assert_same(model(ids), plain(ids))
    lengths = tf.fill([BATCH], TIME)
    assert_same(model.read(ids, lengths), plain.read(ids, lengths))
    assert np.abs(model(ids, training=True)[0] - plain(ids)[0]).max() > 1e-3
    assert_same(plain(ids, training=True), plain(ids))


def test_a_character_itself_is_not_dropped(ids, rng):
    model = built("one_hot", rng, dropout=0.9)
    assert_same(model(ids, training=True)[1], model(ids)[1])
    embedded = built("lstm", rng, layers=1, dropout=0.9)
    assert np.abs(embedded(ids, training=True)[1][0][0] - embedded(ids)[1][0][0]).max() > 1e-3


# Reading.

LENGTHS = [7, 1, 4, 2]


def read_by_the_call(model, ids, lengths, states=None):
    """The expected results of `read`, row by row."""
    rows = []
    for row, length in enumerate(lengths):
        own = None if states is None else row_of(states, row)
        logits, last = model(ids[row : row + 1, :length], states=own)
        logs = tf.nn.log_softmax(logits)[0].numpy()
        total = sum(logs[time, int(ids[row, time + 1])] for time in range(length - 1))
        rows.append((np.float32([total]), logits[:, -1], last))
    return tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *rows)


@pytest.mark.parametrize("window", [1, 3, 7, 100])
def test_reading_by_windows_equals_one_call(kind, ids, rng, monkeypatch, window):
    monkeypatch.setattr(next_token, "_WINDOW", window)
    model = built(kind, rng)
    states = None if window == 1 else random_states(model, rng)
    reading = model.read(ids, tf.constant(LENGTHS), states)
    assert_same(tuple(reading), read_by_the_call(model, ids, LENGTHS, states))


@pytest.mark.parametrize("window", [3, 1024])
def test_reading_in_a_graph_is_traced_once(ids, rng, monkeypatch, window):
    monkeypatch.setattr(next_token, "_WINDOW", window)
    model = built("lstm", rng)
    graph = tf.function(
        model.read, input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    )
    for rows, time in ((BATCH, TIME), (2, 4), (1, 1)):
        lengths = np.minimum(LENGTHS[:rows], time)
        reading = graph(ids[:rows, :time], tf.constant(lengths, tf.int32))
        assert_same(tuple(reading), read_by_the_call(model, ids, lengths))
    assert graph.experimental_get_tracing_count() == 1


def test_what_stands_behind_a_row_and_beside_it_is_not_read(kind, ids, rng, monkeypatch):
    monkeypatch.setattr(next_token, "_WINDOW", 3)
    model = built(kind, rng)
    reading = model.read(ids, tf.constant(LENGTHS))
    real = tf.sequence_mask(LENGTHS, TIME)
    assert_same(model.read(tf.where(real, ids, (ids + 5) % IDS), tf.constant(LENGTHS)), reading)
    longer = tf.concat([ids, ids, ids], axis=1)
    assert_same(model.read(longer, tf.constant(LENGTHS)), reading)
    for row, length in enumerate(LENGTHS):
        alone = model.read(ids[row : row + 1, :length], tf.constant([length]))
        assert_same(row_of(reading, row), alone)


def test_reading_goes_on_from_the_states(ids, rng, monkeypatch):
    monkeypatch.setattr(next_token, "_WINDOW", 2)
    model = built("lstm", rng)
    whole = model.read(ids, tf.fill([BATCH], TIME))
    first = model.read(ids[:, :4], tf.fill([BATCH], 4))
    second = model.read(ids[:, 4:], tf.fill([BATCH], 3), first.states)
    assert_same((second.logits, second.states), (whole.logits, whole.states))
    # Between the two stands the id that the first part predicts.
    between = tf.gather(tf.nn.log_softmax(first.logits), ids[:, 4], batch_dims=1)
    assert_same(first.log_probability + between + second.log_probability, whole.log_probability)


def test_a_text_of_one_id_has_nothing_to_predict(ids, rng):
    model = built("lstm", rng)
    reading = model.read(ids[:, :1], tf.ones([BATCH], tf.int32))
    assert reading.log_probability.numpy().tolist() == [0] * BATCH
    assert_same(reading.logits, model(ids[:, :1])[0][:, 0])


# Step by step.


def test_single_steps_give_what_the_call_gives(kind, ids, rng):
    model = built(kind, rng)
    for states in (model.recurrent.get_initial_state(BATCH), random_states(model, rng)):
        expected, last = model(ids, states=states)
        step = model.stepper()
        for time in range(TIME):
            logits, states = step(ids[:, time], states)
            assert logits.dtype == tf.float32
            assert_same(logits, expected[:, time])
        assert_same(states, last)


def test_what_is_written_has_the_probability_that_reading_gives_it(kind, ids, rng):
    model = built(kind, rng)
    reading = model.read(ids, tf.constant(LENGTHS))
    options = Sampling(
        tf.ones([BATCH]), tf.zeros([BATCH], tf.int32), tf.ones([BATCH]), tf.range(BATCH, dtype=tf.int64)
    )
    max_length = tf.constant([5, 3, 0, 4])
    written, score, *_ = sample(
        model.stepper(), reading.logits, reading.states, options, max_length, end=0, forbidden=[0]
    )
    for row, length in enumerate(LENGTHS):
        count = int(max_length[row])
        text = tf.concat([ids[row, :length], written[row, :count]], axis=0)[None]
        whole = model.read(text, tf.constant([length + count])).log_probability
        np.testing.assert_allclose(whole - reading.log_probability[row], score[row : row + 1], atol=1e-4)


# Saving.


def test_saves_and_loads_as_keras_file(kind, ids, rng, tmp_path):
    model = built(kind, rng, dropout=0.2, recurrent_dropout=0.1, seed=3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again, LanguageModel)
    assert again.get_config() == model.get_config()
    assert_same(again(ids), model(ids), tolerance=0)
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in model.weights]
    assert_same(again.read(ids, tf.constant(LENGTHS)), model.read(ids, tf.constant(LENGTHS)))


def test_weights_alone_are_saved_and_loaded(kind, ids, rng, tmp_path):
    model, other = built(kind, rng), built(kind)
    model.save_weights(tmp_path / "model.weights.h5")
    assert np.abs(other(ids)[0] - model(ids)[0]).max() > 1e-3
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same(other(ids), model(ids), tolerance=0)


@pytest.mark.parametrize("cell", CELLS)
def test_number_of_weights(cell):
    gates = {"lstm": 4, "gru": 3, "simple_rnn": 1}[cell]
    model = built("lstm", cell=cell, layers=2)
    # The GRU has two biases, as in stock Keras.
    biases = 2 if cell == "gru" else 1
    first, second = gates * UNITS * (5 + UNITS + biases), gates * UNITS * (UNITS + UNITS + biases)
    assert model.count_params() - sum(int(np.prod(w.shape)) for w in model.non_trainable_weights) == (
        IDS * 5 + first + second + (UNITS + 1) * IDS
    )


def test_tied_embeddings_work_in_mixed_precision(ids):
    with dtype_policy("mixed_bfloat16"):
        model = built("tied")
        logits, _ = model(ids)
    assert logits.dtype == tf.float32
    assert np.isfinite(logits).all()
