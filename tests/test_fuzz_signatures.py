"""Random inputs for signatures: the short form of `tests/fuzz_signatures.py`."""

from fuzz_signatures import faults, untrained

import unroll.serving


def test_signatures_answer_random_inputs_or_refuse_them_in_a_sentence(
    exported_model, exported_translation, tmp_path
):
    models = [unroll.serving.load(path) for path in (exported_model, exported_translation)]
    models += untrained(tmp_path, "captioning", "bytes")
    assert [*faults(models, first=0, count=400, seed=1)] == []
