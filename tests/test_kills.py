"""A killed export; `fuzz_kills.py` kills many, and trainings."""

from fuzz_kills import kill_exports


def test_a_killed_export_leaves_complete_versions_and_the_next_one_works(trained_run, tmp_path):
    (told,) = kill_exports(trained_run, tmp_path / "model", kills=1, seed=0)
    assert told.startswith("1 kills, ")
