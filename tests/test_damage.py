"""A few of the damages of `fuzz_damage.py`, to a run and an export: a sentence, or the same result."""

from itertools import islice

from fuzz_damage import Fuzzer, Target, cases

# What each command reads.
READ = {
    "evaluate": ("config.json", "vocabulary", "best/model", "best/checksums"),
    "train": ("config.json", "vocabulary", "data"),
    "predict": ("1/",),
}


def test_damage_is_told_or_does_not_matter(trained_run, exported_model, tmp_path):
    targets = [
        Target(trained_run, [["evaluate", "--workdir={}"], ["train", "sentiment", "--workdir={}"]]),
        Target(exported_model, [["predict", "--model={}", "A wonderful film."]]),
    ]
    fuzzer = Fuzzer(tmp_path)
    read = (case for case in cases(targets, seed=2) if case.name.startswith(READ[case.command[0]]))
    faults = {case[1:]: fault for case in islice(read, 60) if (fault := fuzzer.fault(case))}
    assert not faults
    assert fuzzer.outcomes["refused"] > fuzzer.outcomes["same result"] > 0
