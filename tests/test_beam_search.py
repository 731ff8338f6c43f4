"""Beam search in the graph against scripted logits, a plain loop over lists, and exhaustive search."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from unroll.models.decoding import Beams, beam_search

END, START = 0, 1
# Less than any log probability of a sequence here.
IMPOSSIBLE = -5e8


class Sequence(NamedTuple):
    """A hypothesis: its ids without the end, its log probability, and its score."""

    ids: tuple[int, ...]
    log_probability: float
    score: float


def child(node, number, width):
    """The node of a tree after one more id; the root, where nothing was written, is 0."""
    return width * node + 1 + number


def node_of(ids, width):
    node = 0
    for number in ids:
        node = child(node, number, width)
    return node


def random_tree(rng, rows=3, width=4, depth=3, scale=1.5):
    """Logits that depend on all that was written, [rows, nodes, ids]."""
    nodes = sum(width**level for level in range(depth + 1))
    return rng.normal(scale=scale, size=(rows, nodes, width)).astype(np.float32)


def script(*rows, width=5, after=0.0):
    """Logits that depend on the position alone, [rows, time, ids]; each row is a list of {id: logit}."""
    table = np.full([len(rows), max(map(len, rows)), width], after, np.float32)
    for number, row in enumerate(rows):
        for time, logits in enumerate(row):
            for wanted, logit in logits.items():
                table[number, time, wanted] = logit
    return table


def log_softmax(logits):
    logits = np.float64(logits)
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


@lru_cache
def graph(width, beams, forbidden, by_position, eager=False):
    """`beam_search` with a table instead of a model, which is read by the node or the position.

    The alignment is the number of ids read, and the last of them.
    """

    def run(table, max_length):
        rows = tf.range(tf.shape(table)[0])

        def step(ids, states):
            row, (node, pair) = states["row"], states["written"]
            # All states of a hypothesis go the same way.
            tf.debugging.assert_equal(pair[:, 0, 1], tf.cast(node, tf.float32))
            tf.debugging.assert_equal(pair[:, 1, 0], tf.cast(row, tf.float32))
            count = tf.cast(pair[:, 0, 0], tf.int32)
            if by_position:
                node = tf.minimum(count, tf.shape(table)[1] - 1)
            else:
                node = tf.where(count == 0, 0, tf.minimum(child(node, ids, width), tf.shape(table)[1] - 1))
            logits = tf.gather_nd(table, tf.stack([row, node], axis=1))
            alignment = tf.cast(tf.stack([count, ids], axis=1), tf.float32)
            as_floats = [tf.cast(t, tf.float32) for t in (count + 1, node, row, row)]
            pair = tf.reshape(tf.stack(as_floats, axis=1), [-1, 2, 2])
            return logits, {"row": row, "written": (node, pair)}, alignment

        pair = tf.stack([tf.zeros_like(rows), tf.zeros_like(rows), rows, rows], axis=1)
        pair = tf.cast(tf.reshape(pair, [-1, 2, 2]), tf.float32)
        states = {"row": rows, "written": (tf.zeros_like(rows), pair)}
        return beam_search(step, states, START, END, max_length, beams, width, forbidden)

    if eager:
        return run
    signature = [tf.TensorSpec([None, None, width], tf.float32), tf.TensorSpec([None], tf.int32)]
    return tf.function(run, input_signature=signature)


def search(table, max_length, beams, forbidden=(), by_position=False):
    """The hypotheses of each row as NumPy arrays."""
    lengths = np.broadcast_to(max_length, [len(table)])
    run = graph(table.shape[2], beams, tuple(forbidden), by_position)
    found = run(tf.constant(table), tf.constant(lengths, tf.int32))
    assert (found.ids.dtype, found.lengths.dtype) == (tf.int32, tf.int32)
    found = type(found)(*(tensor.numpy() for tensor in found))
    assert found.ids.shape[:2] == (len(table), beams.width)
    assert found.lengths.shape == found.log_probabilities.shape == found.scores.shape == found.ids.shape[:2]
    assert found.alignments.shape == (*found.ids.shape, 2)
    return found


def written(found, row):
    """Returns the existing hypotheses of a row, best first, and checks all padding."""
    sequences = []
    for ids, length, log_probability, score in zip(
        found.ids[row], found.lengths[row], found.log_probabilities[row], found.scores[row], strict=True
    ):
        if score < IMPOSSIBLE:
            continue
        assert END not in ids[:length]
        assert (ids[length:] == END).all()
        assert length < len(ids)
        sequences.append(Sequence(tuple(ids[:length].tolist()), log_probability, score))
    return sequences


def score_of(log_probability, length, beams):
    return log_probability / ((5 + length + 1) / 6) ** beams.length_penalty


def repeats(ids, n):
    grams = [tuple(ids[first : first + n]) for first in range(len(ids) - n + 1)]
    return len(set(grams)) < len(grams)


def choices(logs, ids, max_length, beams, forbidden):
    """The possible next ids, with the log probability of each."""
    for number, log in enumerate(logs):
        if number == END:
            allowed = len(ids) >= beams.min_length
        else:
            again = beams.block_ngrams and repeats([*ids, number], beams.block_ngrams)
            allowed = len(ids) < max_length and number not in forbidden and not again
        if allowed:
            yield number, log


def all_sequences(tree, max_length, beams, forbidden=()):
    """Every sequence that may be written, best first."""
    logs = log_softmax(tree)

    def go_on(ids, total):
        for number, log in choices(logs[node_of(ids, len(logs[0]))], ids, max_length, beams, forbidden):
            if number == END:
                yield Sequence(ids, total + log, score_of(total + log, len(ids), beams))
            else:
                yield from go_on((*ids, number), total + log)

    return sorted(go_on((), 0.0), key=lambda sequence: -sequence.score)


def plain_search(tree, max_length, beams, forbidden=()):
    """Beam search with lists."""
    logs = log_softmax(tree)
    ended, going_on = [], [((), 0.0)]
    while going_on:
        candidates = [(ids, total, True) for ids, total in ended]
        for ids, total in going_on:
            for number, log in choices(logs[node_of(ids, len(logs[0]))], ids, max_length, beams, forbidden):
                candidates.append(((*ids, number) if number != END else ids, total + log, number == END))
        kept = sorted(candidates, key=lambda candidate: -candidate[1])[: beams.width]
        ended = [(ids, total) for ids, total, done in kept if done]
        going_on = [(ids, total) for ids, total, done in kept if not done]
    sequences = [Sequence(ids, total, score_of(total, len(ids), beams)) for ids, total in ended]
    return sorted(sequences, key=lambda sequence: -sequence.score)


def assert_same(found, expected):
    assert [sequence.ids for sequence in found] == [sequence.ids for sequence in expected]
    assert_same_scores(found, expected)


def assert_same_scores(found, expected):
    assert len(found) == len(expected)
    for name in ("log_probability", "score"):
        ours, theirs = ([getattr(sequence, name) for sequence in side] for side in (found, expected))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


# Scripted.


def test_the_best_two_of_a_script_are_found():
    # The likelier first id leads to a less likely whole.
    tree = np.full([1, 21, 4], -20, np.float32)
    tree[0, 0, [2, 3]] = np.log([0.4, 0.6])
    tree[0, child(0, 3, 4), :] = np.log([0.3, 0.25, 0.2, 0.25])
    tree[0, child(0, 2, 4), :] = np.log([0.9, 0.05, 0.03, 0.02])
    greedy, two = (search(tree, 1, Beams(width)) for width in (1, 2))
    assert [s.ids for s in written(greedy, 0)] == [(3,)]
    assert [s.ids for s in written(two, 0)] == [(2,), (3,)]
    np.testing.assert_allclose(two.log_probabilities, np.log([[0.36, 0.18]]), rtol=1e-4)
    np.testing.assert_array_equal(two.scores, two.log_probabilities)
    assert two.ids.tolist() == [[[2, END], [3, END]]]
    assert two.lengths.tolist() == [[1, 1]]


def test_ended_hypotheses_stay_as_they_are():
    # The end has half of the probability at first, and next to none later on.
    first, later = {END: 5.0, 2: 4.0, 3: 1.0}, {2: 3.0, 3: 2.0, END: -9.0}
    table = script([first, *[later] * 6])
    logs = log_softmax(table[0])
    for longest in (1, 3, 6):
        found = search(table, longest, Beams(3), by_position=True)
        sequences = {s.ids: s.log_probability for s in written(found, 0)}
        assert sequences[()] == pytest.approx(logs[0, END], rel=1e-5)
        assert found.ids[0, 0].tolist() == [END] * (longest + 1)
        assert (found.lengths[0, 1:] == longest).all()
        assert found.truncated[0].tolist() == [False, True, True]


def test_an_ended_hypothesis_gives_way_to_better_ones():
    # The end ranks third at first, and all continuations cost nothing.
    table = script([{2: 4.0, 3: 4.0, END: 2.0}, {4: 30.0}, {END: 30.0}], width=5)
    assert [s.ids for s in written(search(table, 5, Beams(2), by_position=True), 0)] == [(2, 4), (3, 4)]
    assert {s.ids for s in written(search(table, 5, Beams(3), by_position=True), 0)} == {(2, 4), (3, 4), ()}


def test_the_length_penalty_ranks_what_was_found():
    # Ends at once with a probability of 0.55, or after two ids with 0.45.
    table = script([{END: np.log(0.55), 2: np.log(0.45)}, {3: 30.0}, {END: 30.0}], after=-30.0)
    short, long = np.log(0.55), np.log(0.45)
    for alpha, best in ((0.0, ()), (0.7, ()), (1.2, (2, 3)), (2.0, (2, 3))):
        found = search(table, 4, Beams(2, length_penalty=alpha), by_position=True)
        assert written(found, 0)[0].ids == best
        scores = {(): short, (2, 3): long / ((5 + 3) / 6) ** alpha}
        for sequence in written(found, 0):
            assert sequence.score == pytest.approx(scores[sequence.ids], rel=1e-4)
            assert sequence.log_probability == pytest.approx(long if sequence.ids else short, rel=1e-4)


def test_the_length_penalty_scales_the_score_of_a_greedy_search():
    table = script([{2: np.log(0.9), END: np.log(0.1)}, {3: 30.0}, {END: 30.0}], after=-30.0)
    for alpha in (0.0, 1.0):
        (sequence,) = written(search(table, 4, Beams(1, length_penalty=alpha), by_position=True), 0)
        assert sequence.ids == (2, 3)
        assert sequence.score == pytest.approx(np.log(0.9) / ((5 + 3) / 6) ** alpha, rel=1e-4)


def test_each_row_has_its_own_maximum_length(rng):
    table = script(*[[{2: 2.0, 3: 1.0, END: -3.0}] * 6] * 5)
    lengths = [3, 0, 5, 1, 2]
    found = search(table, lengths, Beams(2), by_position=True)
    assert found.ids.shape == (5, 2, 6)
    for row, length in enumerate(lengths):
        first = written(found, row)[0]
        assert first.ids == (2,) * length
        logs = log_softmax(table[row])
        assert first.log_probability == pytest.approx(length * logs[0, 2] + logs[0, END], rel=1e-5)
        assert found.lengths[row].max() == length
    # With no id allowed, only one text exists.
    assert len(written(found, 1)) == 1
    assert found.scores[1, 1] <= -1e9


def test_forbidden_ids_are_never_written_and_keep_their_probability():
    table = script([{2: 5.0, 3: 1.0, 4: 2.0}, {END: 1.0, 2: 9.0, 4: 3.0}], width=6)
    logs = log_softmax(table[0])
    found = search(table, 1, Beams(1), forbidden=[2, 5], by_position=True)
    assert [s.ids for s in written(found, 0)] == [(4,)]
    assert found.scores[0, 0] == pytest.approx(logs[0, 4] + logs[1, END], rel=1e-5)
    wide = search(table, 1, Beams(20), forbidden=[2, 5], by_position=True)
    assert {s.ids for s in written(wide, 0)} == {(), (1,), (3,), (4,)}


def test_the_end_does_not_come_before_the_minimum_length():
    table = script([{END: 9.0, 2: 1.0}] * 6, [{3: 1.0}, {4: 1.0}, {2: 1.0}, {END: 9.0}] + [{END: 9.0}] * 2)
    for least, expected in ((0, [(), (3, 4, 2)]), (2, [(2, 2), (3, 4, 2)]), (4, [(2,) * 4, None])):
        found = search(table, 5, Beams(1, min_length=least), by_position=True)
        for row, ids in enumerate(expected):
            (sequence,) = written(found, row)
            assert len(sequence.ids) >= least
            if ids is not None:
                assert sequence.ids == ids
    # As long as it may be.
    assert search(table, 5, Beams(2, min_length=5), by_position=True).lengths.tolist() == [[5, 5]] * 2


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (0, (2, 2, 2, 2, 2, 2)),
        (1, (2, 3, 4)),
        (2, (2, 2, 3, 2, 4, 2)),
        (3, (2, 2, 2, 3, 2, 2)),
        (9, (2, 2, 2, 2, 2, 2)),
    ],
)
def test_no_sequence_of_so_many_ids_is_written_twice(n, expected):
    table = script([{2: 4.0, 3: 3.0, 4: 2.0, END: 0.0}] * 7, after=-30.0)
    found = search(table, 6, Beams(1, block_ngrams=n), by_position=True)
    assert [s.ids for s in written(found, 0)] == [expected]
    logs = log_softmax(table[0])
    total = sum(logs[0, number] for number in (*expected, END))
    assert found.scores[0, 0] == pytest.approx(total, rel=1e-5)


def test_steps_are_made_until_every_hypothesis_has_ended():
    reads = []

    def step(ids, position):
        reads.append(ids.numpy().tolist())
        number = int(position[0])
        return tf.repeat(table[:, number], len(ids) // 2, axis=0), position + 1, tf.zeros([len(ids), 1])

    table = script(
        [{2: 9.0}, {3: 9.0}, {END: 9.0}, {4: 9.0}, {}], [{3: 9.0}, {END: 9.0}, {4: 9.0}, {4: 9.0}, {}]
    )
    positions = tf.zeros([2], tf.int32)
    found = beam_search(step, positions, START, END, tf.constant([9, 9]), Beams(1), 5)
    assert reads == [[START, START], [2, 3], [3, END]]
    assert found.ids.numpy().tolist() == [[[2, 3, END]], [[3, END, END]]]
    assert found.lengths.numpy().tolist() == [[2], [1]]
    # Others are in the beam that have not ended.
    reads.clear()
    found = beam_search(step, positions, START, END, tf.constant([4, 2]), Beams(2), 5)
    assert len(reads) == found.ids.shape[2] == found.alignments.shape[2]
    assert max(found.lengths.numpy().ravel()) == len(reads) - 1


# Against other ways.


OPTIONS = {
    "plain": {},
    "penalty": {"length_penalty": 1.0},
    "strong_penalty": {"length_penalty": 2.5},
    "min_length": {"min_length": 2},
    "no_id_twice": {"block_ngrams": 1},
    "no_pair_twice": {"block_ngrams": 2, "length_penalty": 0.6},
    "all": {"length_penalty": 0.7, "min_length": 1, "block_ngrams": 2},
}


@pytest.mark.parametrize("options", OPTIONS)
def test_a_wide_beam_finds_all_sequences(options, rng):
    beams = Beams(60, **OPTIONS[options])
    tree = random_tree(rng, rows=4)
    lengths = [3, 3, 2, 3]
    found = search(tree, lengths, beams)
    for row, length in enumerate(lengths):
        expected = all_sequences(tree[row], length, beams)
        assert 2 < len(expected) < 60
        sequences = written(found, row)
        assert_same_scores(sequences, expected)
        assert {s.ids for s in sequences} == {s.ids for s in expected}
        # Missing hypotheses come last.
        assert (found.scores[row, len(expected) :] <= -1e9).all()
        assert (np.diff(found.scores[row]) <= 0).all()


def test_a_wide_beam_finds_all_sequences_without_what_is_forbidden(rng):
    beams = Beams(40, length_penalty=1.0)
    tree = random_tree(rng, rows=2, width=5)
    found = search(tree, 3, beams, forbidden=[START, 3])
    for row in range(2):
        expected = all_sequences(tree[row], 3, beams, forbidden=[START, 3])
        assert len(expected) == 1 + 2 + 4 + 8
        assert_same(written(found, row), expected)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("width", [1, 2, 5])
def test_any_beam_finds_what_a_plain_loop_finds(width, options, rng):
    beams = Beams(width, **OPTIONS[options])
    tree = random_tree(rng, rows=12, width=5, depth=4)
    lengths = rng.integers(beams.min_length, 5, size=12)
    found = search(tree, lengths, beams, forbidden=[3])
    for row, length in enumerate(lengths):
        assert_same(written(found, row), plain_search(tree[row], length, beams, forbidden=[3]))
    assert found.ids.shape[2] <= max(lengths) + 1


def test_a_beam_of_one_takes_the_most_probable_id_at_each_step(rng):
    tree = random_tree(rng, rows=20, width=5, depth=4)
    found = search(tree, 4, Beams(1))
    logs, lengths = log_softmax(tree), set()
    for row in range(20):
        ids, total = (), 0.0
        while True:
            node = node_of(ids, 5)
            best = int(logs[row, node].argmax()) if len(ids) < 4 else END
            total += logs[row, node, best]
            if best == END:
                break
            ids += (best,)
        assert_same(written(found, row), [Sequence(ids, total, total)])
        lengths.add(len(ids))
    assert len(lengths) > 3


def test_a_wider_beam_finds_no_worse_and_at_last_the_best(rng):
    tree = random_tree(rng, rows=30, width=4)
    best = {width: search(tree, 3, Beams(width)).scores[:, 0] for width in (1, 3, 60)}
    expected = [all_sequences(row, 3, Beams(1))[0].score for row in tree]
    np.testing.assert_allclose(best[60], expected, rtol=1e-4, atol=1e-4)
    assert (best[1] <= best[60] + 1e-4).all()
    assert (best[3] <= best[60] + 1e-4).all()
    assert (best[1] < best[60] - 1e-2).any()
    assert best[1].sum() < best[3].sum() <= best[60].sum() + 1e-3


def test_a_beam_may_be_wider_than_the_vocabulary(rng):
    tree = random_tree(rng, rows=3, width=3, depth=4)
    for width in (4, 9):
        found = search(tree, 4, Beams(width))
        for row in range(3):
            assert_same(written(found, row), plain_search(tree[row], 4, Beams(width)))


@pytest.mark.parametrize("options", ["plain", "all"])
def test_scores_are_the_log_probabilities_of_what_is_written(options, rng):
    beams = Beams(4, **OPTIONS[options])
    tree = random_tree(rng, rows=10, width=5, depth=4)
    found, logs = search(tree, 4, beams), log_softmax(tree)
    count = 0
    for row in range(10):
        for ids, log_probability, score in written(found, row):
            whole = (*ids, END)
            total = sum(logs[row, node_of(whole[:n], 5), number] for n, number in enumerate(whole))
            assert log_probability == pytest.approx(total, rel=1e-4, abs=1e-4)
            assert score == pytest.approx(score_of(total, len(ids), beams), rel=1e-4, abs=1e-4)
            count += 1
    assert count == 40


def test_alignments_follow_the_winning_hypotheses(rng):
    tree = random_tree(rng, rows=10, width=5, depth=4, scale=0.5)
    found = search(tree, 4, Beams(5))
    parents = set()
    for row in range(10):
        for beam, sequence in enumerate(written(found, row)):
            read = (START, *sequence.ids)
            for time, number in enumerate(read):
                assert found.alignments[row, beam, time].tolist() == [time, number]
            parents.add(sequence.ids[:2])
    assert len(parents) > 5


@pytest.mark.parametrize("width", [1, 4])
def test_companions_change_nothing(width, rng):
    beams = Beams(width, length_penalty=0.8, min_length=1, block_ngrams=2)
    tree = random_tree(rng, rows=8, width=5, depth=4)
    lengths = rng.integers(1, 5, size=8)
    together = search(tree, lengths, beams)
    turned_round = search(tree[::-1].copy(), lengths[::-1], beams)
    for row, length in enumerate(lengths):
        alone = search(tree[row : row + 1], length, beams)
        assert_same(written(together, row), written(alone, 0))
        assert_same(written(together, row), written(turned_round, 7 - row))


def test_a_graph_for_any_number_of_rows_is_traced_once(rng):
    beams = Beams(3, length_penalty=0.5)
    run = graph(4, beams, (), False)
    before = run.experimental_get_tracing_count()
    eager = graph(4, beams, (), False, eager=True)
    for rows in (1, 2, 7):
        tree = tf.constant(random_tree(rng, rows=rows))
        lengths = tf.constant(rng.integers(0, 4, size=rows), tf.int32)
        ours, theirs = run(tree, lengths), eager(tree, lengths)
        np.testing.assert_array_equal(ours.ids, theirs.ids)
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5)
        np.testing.assert_array_equal(ours.alignments, theirs.alignments)
    assert run.experimental_get_tracing_count() - before == 1


def test_rows_that_may_write_nothing_end_at_once(rng):
    tree = random_tree(rng, rows=3)
    found = search(tree, 0, Beams(2))
    assert found.ids.shape == (3, 2, 1)
    np.testing.assert_allclose(found.scores[:, 0], log_softmax(tree)[:, 0, END], rtol=1e-5)
    assert found.lengths[:, 0].tolist() == [0] * 3
    assert (found.scores[:, 1] <= -1e9).all()


@pytest.mark.parametrize(("beta", "first"), [(0.0, 2), (1.0, 3)])
def test_what_leaves_out_a_part_of_the_input_falls_back(beta, first):
    """Of two texts of one id, 2 is the likelier; the step after it looks where it looked before."""

    def step(ids, states):
        begins = ids == START
        logits = tf.where(begins[:, None], [[-9.0, -9.0, 0.0, -0.5]], [[-9.0, 0.0, -9.0, -9.0]])
        elsewhere = tf.where((ids == 3)[:, None], [[0.0, 1.0, 0.0]], [[0.9, 0.1, 0.0]])
        return logits, states, elsewhere

    found = beam_search(
        step, tf.zeros([1, 1]), START, END, tf.constant([1]), Beams(2, coverage_penalty=beta), 4
    )
    assert found.ids[0, 0, 0] == first
    # The last position is padding. At first each text gets 0.9 and 0.1.
    coverage = {2: math.log(0.2), 3: math.log(0.9)}[first]
    assert float(found.scores[0, 0]) == pytest.approx(
        float(found.log_probabilities[0, 0]) + beta * coverage, abs=1e-5
    )
