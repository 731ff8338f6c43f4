"""The translation model: its losses, its parts, decoding, and serialisation."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from comparing import assert_same, randomize

from unroll.models.blocks.embedding import embedded
from unroll.models.blocks.precision import dtype_policy
from unroll.models.decoding import Beams
from unroll.models.options import TranslationOptions
from unroll.models.recurrent import CELLS
from unroll.models.text import END, PADDING, START, UNKNOWN
from unroll.models.translation import TranslationModel
from unroll.models.writing.attention import ATTENTIONS

SOURCES, TARGETS, UNITS = 13, 11, 6
KINDS = {
    "lstm": {},
    "plain": {"cell": "simple_rnn", "attention": "none", "bidirectional": False},
    "fed": {
        "layers": 2,
        "residual": True,
        "attention": "additive",
        "input_feeding": True,
        "bridge": "dense",
        "bidirectional": False,
    },
    "tied": {"tie_embeddings": True, "attention": "scaled"},
    "between": {"upper_layers": 1, "cell": "gru"},
}


@pytest.fixture(autouse=True)
def same_weights_each_time():
    keras.utils.set_random_seed(0)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def built(kind="lstm", rng=None, sources=SOURCES, targets=TARGETS, seed=0, share_embeddings=False, **options):
    """A model; with random weights, biases included, if `rng` is given."""
    options = {"units": UNITS, "embedding_size": 4} | KINDS[kind] | options
    model = TranslationModel(
        sources, targets, TranslationOptions(**options), share_embeddings=share_embeddings, seed=seed
    )
    model.logits(model(tf.ones([1, 1], tf.int32), tf.ones([1, 1], tf.int32))[:, 0])
    if rng is not None:
        randomize(model, rng)
    return model


def sentences(rng, lengths, ids):
    """Random ids that may be written, int32 arrays."""
    return [rng.integers(END + 1, ids, length).astype(np.int32) for length in lengths]


def padded(rows, time=0):
    """int32 [batch, time], with zeros behind each row."""
    time = max([time, *map(len, rows)])
    return tf.constant([[*row, *[PADDING] * (time - len(row))] for row in rows], tf.int32)


def edged(rows):
    return [[START, *row, END] for row in rows]


def losses(model, source, target, **call):
    """The loss of each token of the target but the start, [batch, time], in nats; zero for padding."""
    outputs = model(source, target[:, :-1], **call)
    logits = model.logits(tf.reshape(outputs, [-1, outputs.shape[2]]))
    targets = target[:, 1:]
    found = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.reshape(targets, [-1]), logits)
    return tf.where(targets != PADDING, tf.reshape(found, tf.shape(targets)), 0.0)


def batch(rng, lengths=(5, 2, 7), targets=TARGETS):
    source = padded(sentences(rng, lengths, SOURCES))
    return source, padded(edged(sentences(rng, [n % 6 + 1 for n in lengths], targets)))


def gradients(model, source, target, **call):
    """Gradients of the summed losses, a dense tensor or None for each trainable variable."""
    variables = [weight.value for weight in model.trainable_variables]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(losses(model, source, target, **call))
    return [None if g is None else tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]


# The call.


@pytest.mark.parametrize("kind", ["lstm", "plain"])
def test_a_new_model_holds_all_ids_for_equally_likely(kind, rng):
    model = built(kind, targets=40, units=32, embedding_size=32)
    source, target = batch(rng, lengths=(9,) * 8, targets=40)
    found = losses(model, source, target).numpy()
    assert found[found > 0].mean() == pytest.approx(np.log(40), abs=0.35)


def test_padding_and_companions_change_nothing(kind, rng):
    model = built(kind, rng)
    texts = sentences(rng, (5, 1, 7), SOURCES), edged(sentences(rng, (4, 6, 1), TARGETS))
    source, target = (padded(rows, 12) for rows in texts)
    together = losses(model, source, target)
    for row in range(3):
        alone = losses(model, *(padded([rows[row]]) for rows in texts))
        assert_same(together[row, : alone.shape[1]], alone[0])
        assert not together[row, alone.shape[1] :].numpy().any()


@pytest.mark.parametrize(("kind", "block"), [("lstm", 2), ("fed", None), ("fed", 2)])
def test_gradients_of_a_batch_are_those_of_its_rows(kind, block, rng):
    model = built(kind, rng, truncate_gradient=block)
    texts = sentences(rng, (5, 1, 7), SOURCES), edged(sentences(rng, (4, 6, 1), TARGETS))
    together = gradients(model, *(padded(rows, 9) for rows in texts))
    apart = [gradients(model, *(padded([rows[row]]) for rows in texts)) for row in range(3)]
    assert_same(together, [tf.add_n(parts) for parts in zip(*apart, strict=True)], tolerance=1e-4)


def test_the_gradient_is_truncated_in_encoder_and_decoder(rng):
    for fed in (False, True):
        whole, cut = (built("lstm", input_feeding=fed, truncate_gradient=block) for block in (None, 2))
        randomize(whole, rng)
        cut.set_weights([weight.numpy() for weight in whole.trainable_variables])
        texts = batch(rng)
        assert_same(losses(whole, *texts), losses(cut, *texts))
        for part in ("encoder", "decoder"):
            (position,) = [
                number
                for number, weight in enumerate(whole.trainable_variables)
                if part in weight.path and "backward" not in weight.path and weight.name == "recurrent_kernel"
            ][:1]
            one, other = (gradients(model, *texts)[position] for model in (whole, cut))
            assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("kind", ["lstm", "plain"])
def test_an_empty_source_is_read_as_nothing(kind, rng):
    model = built(kind, rng)
    _, target = batch(rng)
    one, other = (losses(model, tf.zeros([3, positions], tf.int32), target) for positions in (1, 4))
    assert np.isfinite(one).all()
    assert_same(one, other)


@pytest.mark.parametrize("kind", ["lstm", "plain"])
def test_no_token_knows_what_comes_after_it(kind, rng):
    model = built(kind, rng)
    source, target = batch(rng, lengths=(5, 4, 3))
    changed = np.where(np.arange(target.shape[1]) < 3, target, END + 1 + target.numpy() % 5)
    assert_same(model(source, target)[:, :3], model(source, tf.constant(changed, tf.int32))[:, :3])


def test_the_source_is_seen(kind, rng):
    model = built(kind, rng)
    source, target = batch(rng, lengths=(5, 5, 5))
    other = losses(model, tf.reverse(source, [1]), target)
    assert np.abs(losses(model, source, target) - other).max(axis=1).min() > 1e-3


# Parts.


@pytest.mark.parametrize(("cell", "bidirectional"), [("lstm", True), ("simple_rnn", False)])
def test_bridges_lead_from_the_last_states_to_the_first(cell, bidirectional, rng):
    source, _ = batch(rng)
    mask = source != PADDING
    for bridge in ("copy", "dense", "zero"):
        model = built(rng=rng, cell=cell, layers=2, bidirectional=bidirectional, bridge=bridge)
        states = model.encode(source).states
        tf.nest.assert_same_structure(states, model.decoder.recurrent.get_initial_state(3))
        embedded = model.source_embedding(source) * 4**0.5
        _, last = model.encoder(embedded, mask=mask)
        # h and c of the forward direction come before those of the backward one.
        count = len(last[0]) // (2 if bidirectional else 1)
        joined = [
            tf.concat([layer[number + part] for part in range(0, len(layer), count)], axis=1)
            for layer in last
            for number in range(count)
        ]
        expected = {
            "copy": lambda number, state: state,
            "zero": lambda number, state: tf.zeros_like(state),
            "dense": lambda number, state, model=model: tf.tanh(
                state @ model.bridges[number].kernel.value + model.bridges[number].bias.value
            ),
        }[bridge]
        for number, (found, state) in enumerate(zip(tf.nest.flatten(states), joined, strict=True)):
            assert_same(found, expected(number, state))
        assert len(model.bridges) == (2 * count if bridge == "dense" else 0)


def test_tied_embeddings_are_one_variable_read_and_written(rng):
    model = built("tied", rng)
    table = model.target_embedding.embeddings
    assert sum(weight.shape == (TARGETS, 4) for weight in model.trainable_variables) == 1
    outputs = model(*batch(rng))[:, 0]
    expected = outputs.numpy() @ np.array(table).T + np.array(model.logits_layer.bias)
    assert_same(model.logits(outputs), tf.constant(expected))
    # Both ways give it a gradient: an id that is not read is still pushed away from the predictions.
    (position,) = [number for number, weight in enumerate(model.trainable_variables) if weight is table]
    gradient = gradients(model, tf.constant([[5]]), tf.constant([[START, 6, END]]))[position].numpy()
    assert (np.abs(gradient).max(axis=1) > 1e-6).all()


@pytest.mark.parametrize("tied", [False, True])
def test_shared_embeddings_are_one_variable_for_both_languages(tied, rng):
    model = built(rng=rng, sources=TARGETS, share_embeddings=True, tie_embeddings=tied)
    assert model.source_embedding is model.target_embedding
    assert sum(weight.shape == (TARGETS, 4) for weight in model.trainable_variables) == 1
    apart = built(rng=rng, sources=TARGETS, tie_embeddings=tied)
    assert len(apart.trainable_variables) == len(model.trainable_variables) + 1


def test_word_dropout_hides_tokens_of_both_sides_but_not_padding(rng, monkeypatch):
    model = built(rng=rng, word_dropout=0.3)
    looked_up = []

    def watched(layer, ids):
        looked_up.append(ids)
        return embedded(layer, ids)

    for module in ("translation", "writing.writer"):
        monkeypatch.setattr(f"unroll.models.{module}.embedded", watched)
    source, target = (padded(sentences(rng, (200, 150), ids)) for ids in (SOURCES, TARGETS))
    model(source, target, training=True)
    model(source, target)
    for given, dropped, plain in zip((source, target), looked_up[:2], looked_up[2:], strict=True):
        hidden = (dropped == UNKNOWN).numpy()
        assert hidden[given != PADDING].mean() == pytest.approx(0.3, abs=0.08)
        assert not hidden[given == PADDING].any()
        np.testing.assert_array_equal(dropped.numpy()[~hidden], given.numpy()[~hidden])
        np.testing.assert_array_equal(plain, given)


@pytest.mark.parametrize("option", ["dropout", "recurrent_dropout", "word_dropout"])
def test_dropout_is_for_training_alone_and_follows_the_seed(option, rng):
    texts = batch(rng)
    plain = built(rng=rng)
    weights = [weight.numpy() for weight in plain.trainable_variables]
    found = []
    for seed in (1, 1, 2):
        model = built(**{option: 0.5}, seed=seed)
        for weight, value in zip(model.trainable_variables, weights, strict=True):
            weight.assign(value)
        assert_same(losses(model, *texts), losses(plain, *texts))
        found.append(losses(model, *texts, training=True).numpy())
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 1e-3
    assert np.abs(found[0] - losses(plain, *texts)).max() > 1e-3


# Training.


def test_every_weight_is_trained(kind, rng):
    model = built(kind, rng, dropout=0.1, recurrent_dropout=0.1)
    found = gradients(model, *batch(rng, lengths=(9, 4, 7, 8)), training=True)
    for weight, gradient in zip(model.trainable_variables, found, strict=True):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all()
        # Ids that do not occur have none.
        share = 0.2 if "embedding" in weight.path else 0.5
        assert (np.abs(gradient) > 0).mean() > share, weight.path


@pytest.mark.parametrize("kind", ["plain", "fed"])
def test_a_tiny_set_is_learnt_by_heart(kind, rng):
    model = built(kind, units=24, embedding_size=16, layers=1)
    sources, targets = (sentences(rng, (3, 5, 4, 6, 2, 5), ids) for ids in (SOURCES, TARGETS))
    source, target = padded(sources), padded(edged(targets))
    optimizer = keras.optimizers.Adam(0.03)

    @tf.function
    def train():
        variables = model.trainable_variables
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(losses(model, source, target, training=True)) / 31
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    found = [float(train()) for _ in range(100)]
    assert found[0] > 1.5
    assert found[-1] < 0.05
    for width in (1, 3):
        best = model.translate(source, Beams(width), 20)
        for row, expected in enumerate(targets):
            assert best.ids[row, 0, : best.lengths[row, 0]].numpy().tolist() == expected.tolist()


# Decoding.


def greedy(model, source, longest):
    """The most probable token at each step, by the model's own step; and the log probability of all."""
    encoded = model.encode(source[None])
    step, states = model.stepper(encoded.memory), model.decoder.initial_states(encoded.states)
    written, last, total = [], START, 0.0
    while len(written) <= longest:
        logits, states, weights = step(tf.constant([last]), states)
        assert (logits.dtype, weights.shape) == (tf.float32, (1, len(source)))
        logs = tf.nn.log_softmax(logits)[0].numpy()
        allowed = np.full(len(logs), len(written) < longest)
        allowed[[PADDING, UNKNOWN, START]] = False
        allowed[END] = True
        last = int(np.where(allowed, logs, -np.inf).argmax())
        total += logs[last]
        if last == END:
            break
        written.append(last)
    return written, total


@pytest.mark.parametrize("kind", ["plain", "fed"])
def test_a_beam_of_one_is_greedy_by_the_models_own_step(kind, rng):
    model = built(kind, rng)
    texts = sentences(rng, (5, 1, 7, 3), SOURCES)
    found = model.translate(padded(texts), Beams(1), 9)
    for row, text in enumerate(texts):
        written, total = greedy(model, text, 9)
        assert found.ids[row, 0, : found.lengths[row, 0]].numpy().tolist() == written
        assert float(found.log_probabilities[row, 0]) == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("kind", ["lstm", "fed"])
def test_what_is_written_has_the_log_probability_that_the_model_gives_it(kind, rng):
    model = built(kind, rng)
    source, _ = batch(rng)
    beams = Beams(4, length_penalty=0.7)
    found = model.translate(source, beams, 8)
    ids, lengths = found.ids.numpy(), found.lengths.numpy()
    for number in range(4):
        target = padded(edged([ids[row, number, : lengths[row, number]] for row in range(3)]))
        totals = -losses(model, source, target).numpy().sum(axis=1)
        np.testing.assert_allclose(found.log_probabilities[:, number], totals, rtol=1e-4, atol=1e-4)
        penalty = ((5 + lengths[:, number] + 1) / 6) ** 0.7
        np.testing.assert_allclose(found.scores[:, number], totals / penalty, rtol=1e-4, atol=1e-4)
    assert (np.diff(found.scores, axis=1) <= 0).all()


@pytest.mark.parametrize("kind", ["lstm", "fed"])
def test_padding_and_companions_change_no_translation(kind, rng):
    model = built(kind, rng)
    texts = sentences(rng, (5, 1, 7), SOURCES)
    together = model.translate(padded(texts, 11), Beams(3, length_penalty=1.0), 8)
    for row, text in enumerate(texts):
        alone = model.translate(padded([text]), Beams(3, length_penalty=1.0), 8)
        time = alone.ids.shape[2]
        np.testing.assert_array_equal(together.ids[row, :, :time], alone.ids[0])
        assert (together.ids[row, :, time:].numpy() == END).all()
        assert_same(together.scores[row], alone.scores[0])
        # The attention after the end is meaningless.
        written = tf.range(time) <= alone.lengths[0][:, None]
        seen = tf.where(written[..., None], together.alignments[row, :, :time, : len(text)], 0.0)
        assert_same(seen, tf.where(written[..., None], alone.alignments[0], 0.0))


def test_what_is_seen_are_the_weights_of_attention(rng):
    model = built("fed", rng)
    source, _ = batch(rng)
    found = model.translate(source, Beams(2), 6)
    for row, number in itertools.product(range(3), range(2)):
        length = int(found.lengths[row, number]) + 1
        seen = found.alignments[row, number, :length].numpy()
        np.testing.assert_allclose(seen.sum(axis=1), 1, atol=1e-5)
        assert not seen[:, source[row] == PADDING].any()


def test_lengths_follow_the_source_and_the_limits(rng):
    # It never ends by itself.
    model = built(rng=rng)
    model.logits_layer.bias.assign(np.where(np.arange(TARGETS) == END, -50, 0))
    source = padded(sentences(rng, (5, 1, 0), SOURCES))
    assert model.translate(source, Beams(1), 100).lengths[:, 0].numpy().tolist() == [20, 12, 10]
    assert model.translate(source, Beams(1), 7).lengths[:, 0].numpy().tolist() == [7, 7, 7]
    # It ends as soon as it may.
    model.logits_layer.bias.assign(np.where(np.arange(TARGETS) == END, 50, 0))
    # The minimum takes precedence over the limit from the source.
    for least in (0, 3, 15):
        found = model.translate(source, Beams(2, min_length=least), 30)
        assert found.lengths[:, 0].numpy().tolist() == [least] * 3
        assert np.all(found.scores > -1e4)


def test_no_piece_that_means_nothing_is_written(rng):
    model = built(rng=rng)
    model.logits_layer.bias.assign(np.where(np.isin(np.arange(TARGETS), [PADDING, UNKNOWN, START]), 20, 0))
    found = model.translate(batch(rng)[0], Beams(2), 5)
    written = found.ids.numpy()
    assert not np.isin(written, [PADDING, UNKNOWN, START]).any()


def test_a_graph_of_any_shape_is_traced_once(rng):
    model = built("fed", rng)
    traced = []

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def graph(source):
        traced.append(source)
        return model.translate(source, Beams(2), 6)

    for lengths in ((5, 2), (1,), (7, 3, 4)):
        source = padded(sentences(rng, lengths, SOURCES))
        ours, expected = graph(source), model.translate(source, Beams(2), 6)
        np.testing.assert_array_equal(ours.ids, expected.ids)
        assert_same(ours.scores, expected.scores)
    assert len(traced) == 1


# Parts of the model.


def test_every_combination_of_options_builds_and_decodes(rng):
    source, target = batch(rng)
    options = itertools.product(
        CELLS, ("none", *ATTENTIONS), ("copy", "dense", "zero"), (False, True), (False, True), (False, True)
    )
    # Each pair of options occurs with several values of the others.
    chosen = list(options)[::11]
    assert len(chosen) > 20
    for cell, attention, bridge, bidirectional, input_feeding, tied in chosen:
        if (attention, bridge) == ("none", "zero"):
            # Refused: the decoder would know nothing of the source.
            continue
        model = built(
            cell=cell,
            attention=attention,
            bridge=bridge,
            bidirectional=bidirectional,
            input_feeding=input_feeding,
            tie_embeddings=tied,
        )
        assert np.isfinite(losses(model, source, target, training=True)).all()
        assert model.stepper(model.encode(source).memory)(
            tf.fill([3], START), model.decoder.initial_states(model.encode(source).states)
        )[0].shape == (3, TARGETS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"units": 5}, "--units=5 is odd; a bidirectional encoder needs an even number"),
        ({"share_embeddings": True}, "share_embeddings needs one vocabulary"),
        (
            {"attention": "cosine"},
            "--attention=cosine is unknown; choose one of none, dot, scaled, general, additive",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        built(**options)


@pytest.mark.parametrize("kind", ["lstm", "fed", "tied"])
def test_saves_and_loads_as_keras_file(kind, rng, tmp_path):
    model = built(kind, rng, dropout=0.2, word_dropout=0.1, seed=3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again, TranslationModel)
    assert again.get_config() == model.get_config()
    texts = batch(rng)
    assert_same(losses(again, *texts), losses(model, *texts), tolerance=1e-6)


@pytest.mark.parametrize("kind", ["lstm", "fed", "tied"])
def test_mixed_precision_comes_close_and_decodes(kind, rng):
    model = built(kind, rng)
    texts = batch(rng)
    expected = losses(model, *texts)
    with dtype_policy("mixed_bfloat16"):
        small = built(kind)
        small.set_weights([weight.numpy() for weight in model.trainable_variables])
        found = losses(small, *texts)
        best = small.translate(texts[0], Beams(2, length_penalty=1.0), 6)
    assert small.logits(tf.zeros([1, small(*texts).shape[2]], tf.bfloat16)).dtype == tf.float32
    assert found.dtype == tf.float32
    assert np.abs(found - expected).mean() < 0.1
    assert best.scores.dtype == best.alignments.dtype == tf.float32
    plain = model.translate(texts[0], Beams(2, length_penalty=1.0), 6)
    np.testing.assert_allclose(best.scores[:, 0], plain.scores[:, 0], rtol=0.1)
