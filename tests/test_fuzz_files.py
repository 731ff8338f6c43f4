"""Random files to train on: the short form of `tests/fuzz_files.py`."""

import pytest
from fuzz_files import faults


@pytest.mark.parametrize("part", range(2))
def test_random_files_are_read_as_they_are_meant_or_refused_in_a_sentence(part):
    assert [*faults(first=500 * part, count=500, seed=1, prepare_every=250)] == []
