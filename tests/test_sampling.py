"""Sampling in the graph against scripted logits."""

from functools import lru_cache

import numpy as np
import pytest
import tensorflow as tf

from unroll.models.decoding import Sampling, draw_character, sample
from unroll.models.decoding.grammar import utf8
from unroll.models.decoding.sampling import choose, draw, uniform

END = 0
# Just below 1.
LARGEST = np.float32(1 - 2**-23)
WIDTH = 5


def settings(rows, temperature=1.0, top_k=0, top_p=1.0, seed=None):
    """For each row; a single value is for all."""
    seed = np.arange(rows) if seed is None else seed
    return Sampling(
        tf.constant(np.broadcast_to(temperature, [rows]), tf.float32),
        tf.constant(np.broadcast_to(top_k, [rows]), tf.int32),
        tf.constant(np.broadcast_to(top_p, [rows]), tf.float32),
        tf.constant(np.broadcast_to(seed, [rows]), tf.int64),
    )


@lru_cache
def graph(width, forbidden, with_stop):
    """`sample` with a table of logits, [batch, time, width], instead of a model."""
    stop = [tf.RaggedTensorSpec([None, None, None], tf.int32, ragged_rank=2)] if with_stop else []

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, width], tf.float32),
            Sampling(
                *(tf.TensorSpec([None], dtype) for dtype in (tf.float32, tf.int32, tf.float32, tf.int64))
            ),
            tf.TensorSpec([None], tf.int32),
            *stop,
        ]
    )
    def run(table, options, max_length, stop=None):
        def step(ids, position):
            del ids
            return table[:, tf.minimum(position + 1, tf.shape(table)[1] - 1)], position + 1

        return sample(step, table[:, 0], 0, options, max_length, END, forbidden, stop)

    return run


def write(table, max_length=None, *, forbidden=(), stop=None, **options):
    """The ids and the score of each row, which has a stop sequence or several; the last step of the table holds for all
    that follow."""
    ids, scores, _ = write_all(table, max_length, forbidden=forbidden, stop=stop, **options)
    return ids, scores


def write_all(table, max_length=None, *, forbidden=(), stop=None, **options):
    """The same, with whether each row was truncated."""
    table = np.asarray(table, np.float32)
    max_length = table.shape[1] if max_length is None else max_length
    arguments = [
        tf.constant(table),
        settings(len(table), **options),
        tf.constant(np.broadcast_to(max_length, [len(table)]), tf.int32),
    ]
    if stop is not None:
        several = [row if row and isinstance(row[0], list) else [row] for row in stop]
        arguments.append(tf.ragged.constant(several, tf.int32, ragged_rank=2))
    found = graph(table.shape[2], tuple(forbidden), stop is not None)(*arguments)
    assert found.ids.dtype == tf.int32
    return tuple(tensor.numpy() for tensor in found[:3])


def script(*rows, width=WIDTH):
    """A table of logits in which each row's ids are the most probable ones, but not by much."""
    table = np.zeros([len(rows), max(map(len, rows)), width], np.float32)
    for number, row in enumerate(rows):
        for time, wanted in enumerate(row):
            table[number, time, wanted] = 1
    return table


def random_table(rng, rows=6, time=8, width=WIDTH, scale=2.0):
    return rng.normal(scale=scale, size=(rows, time, width)).astype(np.float32)


def softmax(logits):
    exponentials = np.exp(np.float64(logits) - np.max(logits, axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def random_numbers(seeds, draws):
    """The first draws of each seed, float32 [draws, seeds]."""
    return uniform(tf.constant(seeds, tf.int64), tf.range(draws)[:, None])


def split_mix(number):
    """The mixing function of SplitMix64."""
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB % 2**64
    return number ^ (number >> 31)


def first_ids(logits, rows=20_000, **options):
    """How often each id is drawn first, over as many seeds."""
    logits = np.asarray(logits, np.float32)
    drawn = uniform(tf.range(rows, dtype=tf.int64), 0)
    ids = choose(tf.tile(logits[None], [rows, 1]), settings(rows, **options), drawn)
    return np.bincount(ids.numpy(), minlength=len(logits))


def assert_frequencies(counts, probabilities):
    """By Pearson's statistic, five standard deviations above its mean."""
    probabilities = np.asarray(probabilities)
    possible = probabilities > 0
    assert not counts[~possible].any()
    expected = probabilities[possible] * counts.sum()
    statistic = (np.square(counts[possible] - expected) / expected).sum()
    freedom = max(1, possible.sum() - 1)
    assert statistic < freedom + 5 * (2 * freedom) ** 0.5


# Random numbers.


def test_uniform_numbers_are_in_range_and_spread_evenly():
    numbers = random_numbers([0, 1, 2**63 - 1, 12345], 20_000).numpy()
    assert numbers.dtype == np.float32
    assert numbers.shape == (20_000, 4)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    for row in numbers.T:
        assert_frequencies(np.histogram(row, bins=20, range=(0, 1))[0], np.full(20, 0.05))


def test_uniform_numbers_of_neighbouring_seeds_and_positions_have_nothing_in_common():
    numbers = random_numbers(range(2000), 3).numpy()
    others = (numbers[0, 1:], numbers[1, :-1], numbers[2, :-1], numbers[1, 1:])
    for other in others:
        # Five standard deviations.
        assert abs(np.corrcoef(numbers[0, :-1], other)[0, 1]) < 5 / 2000**0.5
    assert len(np.unique(numbers)) > 0.99 * numbers.size


def test_uniform_numbers_depend_on_the_seed_and_the_position_alone():
    together = random_numbers([7, 8, 7, -3], 10).numpy()
    assert together[:, 0].tolist() == together[:, 2].tolist() != together[:, 1].tolist()
    for column, seed in enumerate((7, 8, 7, -3)):
        alone = random_numbers([seed], 4).numpy()[:, 0]
        assert alone.tolist() == together[:4, column].tolist()
    assert random_numbers([7], 0).shape == [0, 1]


def test_uniform_numbers_are_those_of_split_mix(rng):
    seeds = [0, 1, 2**31, 2**62, 2**63 - 1, *rng.integers(0, 2**63, size=20).tolist()]
    for column, seed in enumerate(seeds):
        states = [split_mix(seed) + 0x9E3779B97F4A7C15 * position for position in range(1, 31)]
        expected = [np.float32(split_mix(state % 2**64) >> 41) / np.float32(2**23) for state in states]
        assert random_numbers(seeds, 30)[:, column].numpy().tolist() == expected


# One id.


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_frequencies_are_those_of_the_softmax(temperature):
    logits = np.array([0.0, 1.5, -2.0, 0.7, 1.0, -0.3])
    counts = first_ids(logits, temperature=temperature)
    assert_frequencies(counts, softmax(logits / temperature))


def test_what_is_forbidden_leaves_its_share_to_the_others():
    logits = np.array([0.5, 3.0, -1.0, 0.0, 0.0])
    table = np.tile(logits, [20_000, 1, 1])
    counts = np.bincount(write(table, forbidden=[1, 3])[0][:, 0], minlength=WIDTH)
    assert_frequencies(counts, softmax(np.where([0, 1, 0, 1, 0], -np.inf, logits)))


PROBABILITIES = np.array([0.05, 0.4, 0.1, 0.25, 0.2])


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"top_k": 1}, [1]),
        ({"top_k": 2}, [1, 3]),
        ({"top_k": 4}, [1, 2, 3, 4]),
        ({"top_k": 5}, [0, 1, 2, 3, 4]),
        ({"top_k": 99}, [0, 1, 2, 3, 4]),
        ({"top_k": -1}, [0, 1, 2, 3, 4]),
        ({"top_p": 0.0}, [1]),
        ({"top_p": 0.01}, [1]),
        ({"top_p": 0.39}, [1]),
        ({"top_p": 0.41}, [1, 3]),
        ({"top_p": 0.66}, [1, 3, 4]),
        ({"top_p": 0.96}, [0, 1, 2, 3, 4]),
        ({"top_p": 1.5}, [0, 1, 2, 3, 4]),
        # Of the two that top_k leaves, the first has 0.4 / 0.65 of the probability.
        ({"top_k": 2, "top_p": 0.61}, [1]),
        ({"top_k": 2, "top_p": 0.62}, [1, 3]),
        ({"top_k": 3, "top_p": 0.75}, [1, 3]),
        # At half the temperature the probabilities are squared: 0.16, 0.0625, 0.04 of 0.275.
        ({"temperature": 0.5, "top_p": 0.57}, [1]),
        ({"temperature": 0.5, "top_p": 0.6}, [1, 3]),
    ],
)
def test_only_the_most_probable_ids_are_drawn_by_their_shares(options, allowed):
    counts = first_ids(np.log(PROBABILITIES), **options)
    shares = np.zeros(WIDTH)
    shares[allowed] = PROBABILITIES[allowed] ** (1 / options.get("temperature", 1))
    assert np.flatnonzero(counts).tolist() == allowed
    assert_frequencies(counts, shares / shares.sum())


@pytest.mark.parametrize(
    ("options", "number"), [({"top_k": 3}, 3), ({"top_k": 9}, 9), ({"top_p": 0.35}, 4), ({"top_p": 0.01}, 1)]
)
def test_of_equally_probable_ids_the_first_are_taken_and_no_more(options, number):
    logits = np.array([-1.0, *[2.0] * 10, 1.0])
    counts = first_ids(logits, temperature=0.01, **options)
    assert_frequencies(counts, [0, *[1 / number] * number, *[0] * (11 - number)])


@pytest.mark.parametrize(("top_p", "number"), [(0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (0.76, 4)])
def test_ids_that_together_have_the_probability_are_enough(top_p, number):
    counts = first_ids(np.zeros(4), rows=1000, top_p=top_p)
    assert np.flatnonzero(counts).tolist() == list(range(number))


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": -1}, {"top_k": 1}, {"top_p": 1e-6}])
def test_three_ways_to_take_the_most_probable_id(options, rng):
    logits = rng.normal(size=(500, 20)).astype(np.float32)
    ids = choose(logits, settings(500, **options), uniform(tf.range(500, dtype=tf.int64), 0))
    assert ids.numpy().tolist() == logits.argmax(axis=1).tolist()


@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"top_p": 0.7}, {"temperature": 0.1}])
@pytest.mark.parametrize("drawn", [0.0, LARGEST])
def test_the_smallest_and_the_largest_random_number_draw_what_is_allowed(drawn, options, rng):
    logits = rng.normal(scale=4, size=(500, 50)).astype(np.float32)
    logits[rng.random(logits.shape) < 0.5] = -np.inf
    logits[:, 20] = 0
    ids = choose(logits, settings(500, **options), tf.fill([500], drawn)).numpy()
    assert np.isfinite(logits[np.arange(500), ids]).all()
    if not options:
        # Ids whose probability float32 adds to nothing are passed over at the upper end.
        possible = softmax(logits) > 1e-6
        first, last = possible.argmax(axis=1), 49 - possible[:, ::-1].argmax(axis=1)
        assert (ids <= first if drawn == 0 else ids >= last).all()


def test_each_row_has_its_own_settings(rng):
    logits = np.tile(rng.normal(size=20).astype(np.float32), [400, 1])
    temperatures, top_k, top_p = [0, 1, 1, 1], [0, 2, 0, 0], [1, 1, 0.3, 1]
    options = settings(400, *(np.tile(values, 100) for values in (temperatures, top_k, top_p)))
    ids = choose(logits, options, uniform(tf.range(400, dtype=tf.int64), 0)).numpy().reshape(100, 4)
    order = np.argsort(-logits[0])
    assert set(ids[:, 0]) == {order[0]}
    assert set(ids[:, 1]) == set(order[:2])
    assert set(ids[:, 2]) <= set(order[: 1 + (np.cumsum(softmax(logits[0])[order]) < 0.3).sum()])
    assert len(set(ids[:, 3])) > 8


# Many ids.


@pytest.mark.parametrize(
    ("options", "plain"),
    [
        ({"temperature": np.nan}, {"temperature": 0.0}),
        ({"temperature": np.inf}, {"temperature": 1e30}),
        ({"top_p": np.nan}, {"top_p": 1.0}),
        ({"top_p": np.inf}, {"top_p": 1.0}),
        ({"top_p": -np.inf}, {"top_p": 0.0}),
    ],
)
def test_settings_that_are_no_finite_numbers_mean_the_same_in_any_company(options, plain, rng):
    logits = rng.normal(size=[1, 40]).astype("float32")
    logits[0, ::3] = -np.inf
    # Within a graph: TensorFlow's optimiser may rewrite comparisons, in ways that NaN tells apart.
    graph = tf.function(choose)
    for number in np.linspace(0, LARGEST, 9, dtype="float32"):
        (expected,) = graph(logits, settings(1, **plain), tf.constant([number]))
        (alone,) = graph(logits, settings(1, **options), tf.constant([number]))
        # The first row restricts what is drawn from the second.
        both = {name: [0.5, value] for name, value in {"temperature": 1.0, "top_p": 1.0, **options}.items()}
        among = graph(np.repeat(logits, 2, axis=0), settings(2, **both), tf.fill([2], number))[1]
        assert alone == among == expected


def test_greedy_writes_the_most_probable_ids():
    ids, _ = write(script([1, 2, 3, 4], [4, 4, 1, 3]), temperature=0)
    assert ids.tolist() == [[1, 2, 3, 4], [4, 4, 1, 3]]


def test_a_row_ends_at_the_end_and_writes_nothing_after_it():
    table = script([1, END, 3, 4, 2], [2, 3, 1, END, 1], [END, 1, 1, 1, 1])
    ids, score = write(table, temperature=0)
    assert ids.tolist() == [[1, END, END, END], [2, 3, 1, END], [END] * 4]
    single = np.log(softmax(table[0, 0])[1])
    np.testing.assert_allclose(score, [single, 3 * single, 0], rtol=1e-6)


def test_each_row_has_its_own_maximum_length():
    ids, _ = write(script(*[[1, 2, 3, 4]] * 5), [0, 1, 3, 2, -1], temperature=0)
    assert ids.tolist() == [[END] * 3, [1, END, END], [1, 2, 3], [1, 2, END], [END] * 3]


def test_each_row_has_its_own_stop_sequence():
    stop = [[3], [2, 3], [], [1, 2, 3], [3, 2], [4, 4, 4, 4, 4, 4], [3, 3]]
    ids, _ = write(script(*[[1, 2, 3, 3, 4, 1]] * 7), stop=stop, temperature=0)
    whole = [1, 2, 3, 3, 4, 1]
    stopped = [1, 2, 3, END, END, END]
    assert ids.tolist() == [stopped, stopped, whole, stopped, whole, whole, [1, 2, 3, 3, END, END]]


def test_a_row_ends_with_the_first_of_its_stop_sequences():
    stop = [[[3, 3], [2, 3]], [[4], [], [1]], [[], []], [[9, 9, 9, 9], [3, 4]]]
    ids, _ = write(script(*[[1, 2, 3, 3, 4, 1]] * 4), stop=stop, temperature=0)
    assert [row[row != END].tolist() for row in ids] == [[1, 2, 3], [1], [1, 2, 3, 3, 4, 1], [1, 2, 3, 3, 4]]


def test_what_the_longest_length_ends_is_truncated():
    table = script([1, 2, END, 1], [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, END, 1])
    stop = [[], [], [4], [[2], [4]], []]
    truncated = write_all(table, [4, 4, 4, 4, 2], stop=stop, temperature=0)[2]
    assert truncated.tolist() == [False, True, False, False, True]
    assert write_all(table, 0)[2].all()


def test_a_stop_sequence_is_found_after_a_false_start():
    ids, _ = write(script([1, 1, 2, 1, 1, 1, 2, 4, 4]), stop=[[1, 1, 1, 2]], temperature=0)
    assert ids.tolist() == [[1, 1, 2, 1, 1, 1, 2]]


def test_empty_stop_sequences_stop_nothing(rng):
    table = random_table(rng)
    assert write(table, stop=[[]] * 6)[0].tolist() == write(table)[0].tolist()


def test_forbidden_ids_are_never_written(rng):
    table = random_table(rng, rows=200)
    table[:, :, [1, 3]] += 5
    for options in ({}, {"temperature": 0}, {"top_k": 2}, {"top_p": 0.5}, {"temperature": 5}):
        ids, _ = write(table, forbidden=[1, 3], **options)
        assert set(np.unique(ids)) <= {END, 2, 4}
        assert {2, 4} <= set(np.unique(ids))
    greedy, _ = write(table, forbidden=[1, 3, END], temperature=0)
    assert greedy.tolist() == (2 + 2 * (table[..., 4] > table[..., 2])).tolist()
    assert write(table, forbidden=[1, 3, END], top_k=1)[0].tolist() == greedy.tolist()


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-5}, {"temperature": 1e-3}])
def test_narrow_settings_write_what_greedy_writes(options, rng):
    table = random_table(rng, rows=50)
    assert write(table, **options)[0].tolist() == write(table, temperature=0)[0].tolist()


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0}, {"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.6}, {"forbidden": [3]}],
)
def test_score_is_the_sum_of_the_unchanged_log_probabilities(options, rng):
    table = random_table(rng, rows=40)
    max_length = rng.integers(0, 9, size=40)
    ids, score = write(table, max_length, stop=[[1, 2], []] * 20, **options)
    logs = np.log(softmax(table))
    expected = [
        sum(logs[row, time, number] for time, number in enumerate(written) if number != END)
        for row, written in enumerate(ids)
    ]
    assert (ids != END).any(axis=1).sum() > 10
    np.testing.assert_allclose(score, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [0, 3])
@pytest.mark.parametrize("stop", [None, [1]])
def test_nothing_is_written_where_no_row_may_write(rows, stop):
    ids, score = write(np.zeros([rows, 2, WIDTH]), 0, stop=stop and [stop] * rows)
    assert ids.shape == (rows, 0)
    assert score.tolist() == [0] * rows


def test_companions_change_nothing(rng):
    rows = 12
    table = random_table(rng, rows=rows)
    options = {
        "temperature": rng.choice([0, 0.5, 1, 2], size=rows),
        "top_k": rng.choice([0, 1, 3], size=rows),
        "top_p": rng.choice([0.5, 0.9, 1], size=rows),
        "seed": rng.integers(0, 2**63, size=rows),
    }
    max_length = rng.integers(0, 9, size=rows)
    stop = [[], [1], [2, 3], [4, 4, 4]] * 3
    ids, score = write(table, max_length, stop=stop, **options)
    assert len({len(row[row != END]) for row in ids}) > 3
    for row in range(rows):
        own = {name: values[row] for name, values in options.items()}
        alone, own_score = write(table[row : row + 1], max_length[row], stop=[stop[row]], **own)
        assert ids[row, : alone.shape[1]].tolist() == alone[0].tolist()
        assert not ids[row, alone.shape[1] :].any()
        np.testing.assert_allclose(own_score[0], score[row], rtol=1e-6)


def test_seeds_give_different_rows_and_a_seed_the_same(rng):
    table = np.tile(random_table(rng, rows=1, time=20, scale=0.5), [30, 1, 1])
    ids, _ = write(table, forbidden=[END], seed=np.arange(30) // 2)
    assert ids[::2].tolist() == ids[1::2].tolist()
    assert len({tuple(row) for row in ids}) == 15


def test_the_draws_of_two_steps_are_independent():
    probabilities = np.array([1e-9, 0.5, 0.3, 0.2])
    table = np.tile(np.log(probabilities), [20_000, 2, 1])
    ids, _ = write(table, forbidden=[END])
    pairs = np.bincount(ids[:, 0] * 4 + ids[:, 1], minlength=16).reshape(4, 4)[1:, 1:]
    assert_frequencies(pairs.ravel(), np.outer(probabilities[1:], probabilities[1:]).ravel())


def test_a_step_reads_the_id_that_was_written_and_the_states_of_its_row():
    """A model that wants the next of five ids after each, and that a row leaves one out from its sixth step on."""

    def step(ids, states):
        count, last = states
        tf.debugging.assert_equal(count, last[:, 0])
        following = (ids + 1) % 5 + tf.cast(count >= 5, tf.int32)
        return 10 * tf.one_hot(following, 8), (count + 1, last + 1)

    begun = tf.constant([0, 4])
    first = 10 * tf.one_hot([1, 3], 8)
    options = settings(2, temperature=0)
    ids = sample(step, first, (begun, begun[:, None]), options, tf.constant([9, 9]), 7, forbidden=[0]).ids
    # 0 is forbidden, and 1 is the first of the others, which are equally probable.
    assert ids.numpy().tolist() == [[1, 2, 3, 4, 1, 2, 4, 1, 3], [3, 4, 1, 3, 5, 2, 4, 1, 3]]


def test_steps_are_made_until_the_last_row_is_done():
    reads = []

    def step(ids, position):
        reads.append(ids.numpy().tolist())
        return table[:, position + 1], position + 1

    table = script([1, 2, END, 1, 1, 1], [3, 3, 3, END, 1, 1])
    ids = sample(step, table[:, 0], 0, settings(2, temperature=0), tf.constant([6, 6]), END).ids
    assert ids.shape == (2, 4)
    assert reads == [[1, 3], [2, 3], [END, 3], [END, END]]
    assert write(table, [2, 1], temperature=0)[0].shape == (2, 2)
    assert write(table, stop=[[2], [3, 3, 3]], temperature=0)[0].shape == (2, 3)
    # A row that is done from the first does not keep the others from being written.
    assert write(table, [0, 6], temperature=0)[0].shape == (2, 4)


def test_draws_of_single_positions_write_the_same_rows(rng):
    table = random_table(rng, rows=20, time=12, width=30, scale=1)
    options = {"temperature": 0.8, "top_k": 20, "top_p": 0.9}
    ids, _ = write(table, forbidden=[1], **options)
    drawn = [draw(table[:, position], settings(20, **options), position, [1]) for position in range(12)]
    for row, ours in zip(ids, np.stack(drawn, axis=1), strict=True):
        end = np.append(np.flatnonzero(ours == END), 12)[0]
        assert row[:end].tolist() == ours[:end].tolist()
        assert not row[end:].any()


def test_rows_may_be_at_different_positions(rng):
    logits = tf.constant(rng.normal(size=[4, 30]), tf.float32)
    positions = [0, 3, 3, 1000]
    together = draw(logits, settings(4), tf.constant(positions))
    apart = [
        draw(logits[row : row + 1], settings(1, seed=row), position)[0]
        for row, position in enumerate(positions)
    ]
    assert together.numpy().tolist() == [int(number) for number in apart]


# Bytes.


@lru_cache
def bytes_graph(one_character):
    """Texts of bytes from a table of logits, [batch, time, 258], or their first characters alone."""

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, 258]), tf.TensorSpec([None], tf.int32)], autograph=False
    )
    def run(table, max_length):
        def step(ids, position):
            del ids
            return table[:, tf.minimum(position + 1, tf.shape(table)[1] - 1)], position + 1

        rows = tf.shape(table)[0]
        seeds = tf.range(tf.cast(rows, tf.int64))
        options = Sampling(tf.ones([rows]), tf.zeros([rows], tf.int32), tf.ones([rows]), seeds)
        grammar = utf8(special=2)
        if one_character:
            return draw_character(step, table[:, 0], 0, options, 0, [1], grammar)
        return sample(step, table[:, 0], 0, options, max_length, END, [1], grammar=grammar)

    return run


def bytes_of(ids):
    return bytes(int(number) - 2 for number in ids if number != END)


def test_the_grammar_of_utf8_allows_what_python_decodes():
    grammar, ends = utf8(special=2), []
    for first in range(256):
        for second in range(256):
            for rest in (b"", b"\x80", b"\xbf\x80"):
                text, state, allowed = bytes([first, second]) + rest, 0, True
                for byte in text:
                    allowed &= grammar.penalties[state, 2 + byte] == 0
                    state = grammar.following[state, 2 + byte]
                try:
                    text.decode()
                    valid = True
                except UnicodeDecodeError:
                    valid = False
                assert (allowed and state == 0) == valid, text
                ends.append(valid)
    assert 0 < sum(ends) < len(ends)
    assert (grammar.penalties[1:, 0] < 0).all()


@pytest.mark.parametrize("scale", [0.1, 3])
def test_bytes_make_whole_characters_within_the_limit(rng, scale):
    table = rng.normal(size=[200, 30, 258]).astype(np.float32) * scale
    table[:, :, 2 + 0xC2 :] += 2
    longest = rng.integers(0, 12, size=200).astype(np.int32)
    found = bytes_graph(False)(table, longest)
    texts = [bytes_of(row) for row in found.ids.numpy()]
    assert len({len(text.decode().encode()) - len(text.decode()) for text in texts}) > 5
    assert all(len(text) <= limit for text, limit in zip(texts, longest, strict=True))
    # Up to three bytes are left where no further character fits.
    assert any(len(text) < limit for text, limit in zip(texts, longest, strict=True))
    logits = table - np.log(np.exp(table).sum(axis=2, keepdims=True))
    for number, text in enumerate(texts):
        expected = sum(logits[number, position, 2 + byte] for position, byte in enumerate(text))
        np.testing.assert_allclose(found.scores[number], expected, rtol=1e-4, atol=1e-4)


def test_a_single_character_is_the_first_of_the_text(rng):
    table = rng.normal(size=[100, 30, 258]).astype(np.float32)
    table[:, :, 2 + 0xC2 :] += 2
    texts = [
        bytes_of(row).decode() for row in bytes_graph(False)(table, np.full([100], 30, np.int32)).ids.numpy()
    ]
    firsts = [
        bytes_of(row).decode() for row in bytes_graph(True)(table, np.full([100], 30, np.int32)).numpy()
    ]
    assert firsts == [text[:1] for text in texts]
    assert len({len(character.encode()) for character in firsts}) >= 4
