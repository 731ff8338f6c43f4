"""Windows of a text in lanes, for truncated backpropagation through time."""

import numpy as np
import pytest
import tensorflow as tf

from unroll.models.text import BOUNDARY
from unroll.tasks.datasets.lanes import Lanes, Window, count_windows, cut_windows


def document(length, first=1):
    """Different ids for all positions, none of them a boundary."""
    return np.arange(first, first + length, dtype=np.int32)


def in_pieces(ids, sizes):
    """A document in pieces of some sizes, the last of which takes the rest."""
    yield from np.split(ids, np.cumsum(sizes)[np.cumsum(sizes) <= len(ids)])


def windows_of_documents(lengths, steps):
    """The windows of some documents, and the documents."""
    first, documents = 1, []
    for length in lengths:
        documents.append(document(length, first))
        first += length
    return [window for ids in documents for window in cut_windows([ids], steps)], documents


def read(lanes):
    return list(lanes.read().as_numpy_iterator())


def written(tmp_path, windows, steps, lanes):
    ours = Lanes(tmp_path / "lanes.bin", steps, lanes, len(windows))
    ours.write(iter(windows))
    return ours


def lanes_of(batches):
    """The windows of each lane in the order of the batches: ids, length and reset of each."""
    return [
        [(batch["ids"][lane], int(batch["length"][lane]), bool(batch["reset"][lane])) for batch in batches]
        for lane in range(len(batches[0]["length"]))
    ]


# Windows.


@pytest.mark.parametrize("steps", [1, 2, 5, 7])
@pytest.mark.parametrize("length", [0, 1, 4, 5, 6, 9, 10, 11, 13, 14, 15, 70])
def test_every_id_is_predicted_once_from_the_one_before(length, steps):
    ids = document(length)
    windows = list(cut_windows([ids], steps))
    assert len(windows) == count_windows(length, steps)
    read_ids, targets = [], []
    for window in windows:
        assert window.ids.shape == (steps + 1,)
        assert window.ids.dtype == np.int32
        read_ids += window.ids[: window.length].tolist()
        targets += window.ids[1 : window.length + 1].tolist()
        assert not window.ids[window.length + 1 :].any()
    assert read_ids == [BOUNDARY, *ids]
    assert targets == [*ids, BOUNDARY]


@pytest.mark.parametrize("length", [0, 1, 4, 5, 6, 14, 15, 16])
def test_all_windows_but_the_last_are_full_and_the_first_begins(length):
    windows = list(cut_windows([document(length)], 5))
    assert [window.begins for window in windows] == [True] + [False] * (len(windows) - 1)
    assert [window.length for window in windows[:-1]] == [5] * (len(windows) - 1)
    assert windows[-1].length == length % 5 + 1


def test_windows_counted_by_hand():
    windows = list(cut_windows([document(5)], 3))
    assert [window.ids.tolist() for window in windows] == [[0, 1, 2, 3], [3, 4, 5, 0]]
    assert [window[1:] for window in windows] == [(3, True), (3, False)]


@pytest.mark.parametrize("sizes", [[], [0], [1] * 40, [3, 0, 0, 20], [39, 1], [5, 5, 5, 5], [0, 17]])
def test_windows_do_not_depend_on_the_pieces(sizes):
    ids = document(40)
    whole = [(window.ids.tolist(), *window[1:]) for window in cut_windows([ids], 5)]
    pieces = in_pieces(ids, sizes)
    assert [(window.ids.tolist(), *window[1:]) for window in cut_windows(pieces, 5)] == whole


def test_a_document_without_pieces_has_one_window():
    (window,) = cut_windows([], 3)
    assert window.ids.tolist() == [BOUNDARY] * 4
    assert window[1:] == (1, True)


def test_windows_come_before_the_document_is_read():
    def endless():
        while True:
            yield document(4)

    windows = cut_windows(endless(), 3)
    assert [next(windows).ids.tolist() for _ in range(2)] == [[0, 1, 2, 3], [3, 4, 1, 2]]


# Lanes.


LENGTHS = [
    [100],
    [0],
    [3],
    [14],
    [15],
    [16],
    [40, 0, 7, 1, 60, 5, 4, 33],
    [1] * 23,
    [2, 200, 2],
]


@pytest.mark.parametrize("lanes", [1, 2, 3, 7])
@pytest.mark.parametrize("lengths", LENGTHS, ids=lambda lengths: f"{len(lengths)} of {sum(lengths)}")
def test_lanes_hold_the_whole_text_in_its_order(tmp_path, lengths, lanes):
    windows, documents = windows_of_documents(lengths, 5)
    ours = written(tmp_path, windows, 5, lanes)
    batches = read(ours)
    assert len(batches) == ours.batches == -(-len(windows) // ours.lanes)
    for batch in batches:
        assert batch["ids"].shape == (ours.lanes, 6)
        assert [batch[name].dtype for name in ("ids", "length", "reset")] == [np.int32, np.int32, np.bool_]
    in_order = [window for lane in lanes_of(batches) for window in lane]
    for (ids, length, _), window in zip(in_order, windows, strict=False):
        assert ids.tolist() == window.ids.tolist()
        assert length == window.length
    targets = [number for ids, length, _ in in_order for number in ids[1 : length + 1].tolist()]
    assert targets == [number for ids in documents for number in [*ids, BOUNDARY]]


@pytest.mark.parametrize("lanes", [1, 2, 3, 7])
@pytest.mark.parametrize("lengths", LENGTHS, ids=lambda lengths: f"{len(lengths)} of {sum(lengths)}")
def test_lanes_are_reset_at_their_start_and_at_that_of_a_document_alone(tmp_path, lengths, lanes):
    windows, _ = windows_of_documents(lengths, 5)
    for lane in lanes_of(read(written(tmp_path, windows, 5, lanes))):
        before = None
        for number, (ids, length, reset) in enumerate(lane):
            # A document begins with a boundary.
            assert reset == (length > 0 and (number == 0 or ids[0] == BOUNDARY))
            if length and not reset:
                # It starts at the end of the window before it.
                assert ids[0] == before[-1] != BOUNDARY
            before = ids


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_fewer_windows_than_lanes_make_one_batch_of_them(tmp_path, number):
    windows = list(cut_windows([document(5 * (number - 1))], 5))
    assert len(windows) == number
    lanes = written(tmp_path, windows, 5, 4)
    assert (lanes.lanes, lanes.batches) == (number, 1)
    (batch,) = read(lanes)
    assert batch["length"].tolist() == [5] * (number - 1) + [1]
    assert batch["reset"].tolist() == [True] * number


def test_lanes_that_are_shorter_end_with_empty_windows(tmp_path):
    windows = list(cut_windows([document(8)], 2))
    lanes = written(tmp_path, windows, 2, 4)
    # Five windows, in lanes of two, two, one and none.
    assert (lanes.lanes, lanes.batches) == (4, 2)
    first, second = read(lanes)
    assert first["length"].tolist() == [2, 2, 1, 0]
    assert second["length"].tolist() == [2, 2, 0, 0]
    assert first["reset"].tolist() == [True, True, True, False]
    assert second["reset"].tolist() == [False] * 4
    assert first["ids"].tolist() == [[0, 1, 2], [4, 5, 6], [8, 0, 0], [0, 0, 0]]
    assert second["ids"].tolist() == [[2, 3, 4], [6, 7, 8], [0, 0, 0], [0, 0, 0]]


def test_a_file_is_written_over_a_longer_one(tmp_path):
    written(tmp_path, list(cut_windows([document(100)], 3)), 3, 2)
    windows = list(cut_windows([document(10)], 3))
    lanes = written(tmp_path, windows, 3, 2)
    assert len(read(lanes)) == 2
    assert (tmp_path / "lanes.bin").stat().st_size == lanes.batches * lanes.lanes * (3 + 3) * 4


def test_lanes_can_be_read_by_another_process_that_knows_the_numbers(tmp_path):
    windows, _ = windows_of_documents([40, 7, 60], 5)
    batches = read(written(tmp_path, windows, 5, 3))
    again = read(Lanes(tmp_path / "lanes.bin", 5, 3, len(windows)))
    assert len(again) == len(batches)
    for one, other in zip(batches, again, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("done", [0, 1, 6, 11, 12])
def test_an_iterator_goes_on_from_its_checkpoint(tmp_path, done):
    windows, _ = windows_of_documents([40, 0, 7, 60, 50], 5)
    lanes = written(tmp_path, windows, 5, 3)
    whole = [batch["ids"].tolist() for batch in read(lanes)]
    assert len(whole) == 12
    iterator = iter(lanes.read())
    for _ in range(done):
        next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / "checkpoint"))
    assert [batch["ids"].numpy().tolist() for batch in iterator] == whole[done:]
    again = iter(lanes.read())
    tf.train.Checkpoint(iterator=again).read(path).assert_consumed()
    assert [batch["ids"].numpy().tolist() for batch in again] == whole[done:]


@pytest.mark.parametrize("offset", [0, 2])
def test_dropping_an_iterator_waits_for_no_thread_that_tunes_it(tmp_path, offset):
    windows, _ = windows_of_documents([40], 5)
    ours = written(tmp_path, windows, 5, 3)
    assert ours.read(offset).prefetch(2).options().autotune.enabled is False
    assert ours.read_joined(10).options().autotune.enabled is False


def test_a_window_may_hold_any_id(tmp_path):
    ids = np.array([0, 2**31 - 1, 0x10FFFF + 2, 1], np.int32)
    (batch,) = read(written(tmp_path, [Window(ids, 3, True)], 3, 1))
    assert batch["ids"].tolist() == [ids.tolist()]


def test_joined_windows_go_on_until_their_document_ends(tmp_path):
    # Two lanes of four windows: the first document fills three of them and a part of the fourth.
    windows, _ = windows_of_documents([14, 5, 6], 4)
    lanes = written(tmp_path, windows, 4, 2)
    assert lanes.batches == 4
    (batch,) = [{name: v.numpy() for name, v in batch.items()} for batch in lanes.read_joined(16)]
    assert batch["ids"].shape == (2, 17)
    # With its boundary the first document has 15 steps; the second has 6, and a third begins after them.
    np.testing.assert_array_equal(batch["length"], [15, 6])
    np.testing.assert_array_equal(batch["reset"], [True, True])
    for lane, length in enumerate(batch["length"]):
        single = list(lanes.read())
        expected = np.concatenate([b["ids"][lane, : b["length"][lane]] for b in single])[:length]
        np.testing.assert_array_equal(batch["ids"][lane, :length], expected)
    # Fewer windows are joined for a small number of steps, but at least two.
    assert [b["ids"].shape[1] for b in lanes.read_joined(1)] == [9, 9]


@pytest.mark.parametrize("lanes", [1, 3, 5, 50])
@pytest.mark.parametrize("lengths", [[12], [1, 4, 5, 6], [30, 2, 17], [5, 10]])
def test_the_documents_of_a_text_are_read_again(tmp_path, monkeypatch, lengths, lanes):
    monkeypatch.setattr("unroll.tasks.datasets.lanes._WINDOWS", 2)
    windows, documents = windows_of_documents(lengths, steps=5)
    again = [list(pieces) for pieces in written(tmp_path, windows, 5, lanes).documents()]
    for pieces, ids in zip(again, documents, strict=True):
        np.testing.assert_array_equal(np.concatenate(pieces), ids)


# Another offset in each epoch.


def stream(windows):
    """The inputs of all real steps of a lane, and their targets."""
    real = [(ids[:length], ids[1 : length + 1]) for ids, length, _ in windows]
    return (np.concatenate(part) for part in zip(*real, strict=True))


@pytest.mark.parametrize("lengths", [[97], [60, 3, 41], [1, 2, 3, 50]])
@pytest.mark.parametrize("offset", [1, 3, 4])
def test_lanes_begin_later_until_a_document_begins(tmp_path, lengths, offset):
    ours = written(tmp_path, windows_of_documents(lengths, 5)[0], 5, 3)
    shifted = lanes_of(list(ours.read(offset).as_numpy_iterator()))
    moved = 0
    for plain, found in zip(lanes_of(read(ours)), shifted, strict=True):
        inputs, targets = stream(plain)
        found_inputs, found_targets = stream(found)
        begins = [number for number, (ids, _, _) in enumerate(plain) if ids[0] == BOUNDARY]
        left_out = offset if plain[0][0][0] != BOUNDARY else 0
        left_out = min(left_out, sum(length for _, length, _ in plain[: begins[0] if begins else len(plain)]))
        assert found_inputs.tolist() == inputs[left_out:].tolist()
        assert found_targets.tolist() == targets[left_out:].tolist()
        assert [reset for *_, reset in found] == [reset for *_, reset in plain]
        moved += left_out
    assert moved


def test_an_iterator_with_an_offset_goes_on_from_its_checkpoint(tmp_path):
    ours = written(tmp_path, windows_of_documents([97, 20], 5)[0], 5, 3)
    whole = [batch["ids"].tolist() for batch in ours.read(2).as_numpy_iterator()]
    iterator = iter(ours.read(2))
    for _ in range(3):
        next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / "checkpoint"))
    again = iter(ours.read(2))
    tf.train.Checkpoint(iterator=again).read(path)
    assert [batch["ids"].numpy().tolist() for batch in again] == whole[3:]
