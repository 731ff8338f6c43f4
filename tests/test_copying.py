"""Unknown words that translations copy from the source."""

import numpy as np
import pytest
import tensorflow as tf

from unroll.models.decoding import Beams, Hypotheses
from unroll.models.options import TranslationOptions
from unroll.models.text import UNKNOWN, SubwordCodec
from unroll.models.translation import TranslationModel
from unroll.models.writing.copying import attended_tokens
from unroll.tasks import cli
from unroll.tasks.translation import signatures

TEXTS = ["The dog Ἀριστοτέλης sleeps 😀.", "A dog"]


def test_the_token_with_the_largest_weight_is_copied():
    weights = np.zeros([2, 1, 3, 4], np.float32)
    for row, positions in enumerate([[2, 0, 3], [1, 1, 0]]):
        weights[row, 0, range(3), positions] = 0.6
    found = Hypotheses(*[tf.zeros([])] * 4, alignments=tf.constant(weights), truncated=tf.zeros([]))
    source = tf.constant([["a", "b", "c", "d"], ["e", "f", "", ""]])
    assert attended_tokens(found, source).numpy().tolist() == [[[b"c", b"a", b"d"]], [[b"f", b"f", b"e"]]]


@pytest.mark.parametrize("tokenizer", ["words", "subwords", "characters"])
def test_signatures_copy_what_the_vocabulary_lacks(tokenizer):
    """A model that writes nothing but unknown tokens copies the tokens that it attends to, and says so everywhere."""
    tf.keras.utils.set_random_seed(1)
    codec = SubwordCodec.learn([[b"The dog sleeps . A dog"]], tokenizer=tokenizer, max_size=40, max_length=40)
    model = TranslationModel(len(codec), len(codec), TranslationOptions(units=8, embedding_size=4))
    model.build()
    model.logits_layer.bias.assign(50.0 * tf.one_hot(UNKNOWN, len(codec)))
    answers = {}
    for copies in (False, True):
        made = signatures.bundle(model, codec, codec, Beams(2), 6, copies).signatures
        answers[copies] = {
            name: made[name].function(tf.constant(TEXTS)) for name in ("serving_default", "n_best", "align")
        }
    plain, copied = answers[False], answers[True]
    assert not any("\ufffd" in text.decode() for text in plain["serving_default"]["text"].numpy())
    tokens, attention = copied["align"]["tokens"].numpy(), copied["align"]["attention"].numpy()
    source = codec.split_padded(tf.constant(TEXTS)).numpy()
    for row, text in enumerate(copied["serving_default"]["text"].numpy()):
        attended = [source[row, weights.argmax()] for weights in attention[row] if weights.any()]
        assert [token for token in tokens[row] if token not in (b"", b"</s>")] == attended[:6]
        assert text.decode() == b"".join(attended[:6]).decode().replace("▁", " ").strip()
        assert text == copied["align"]["text"][row] == copied["n_best"]["texts"][row, 0]


def test_evaluation_copies_on_demand(translation_run, capsys):
    assert cli.main(["evaluate", f"--workdir={translation_run}", "--copy_unknown", "--split=validation"]) == 0
    assert "bleu" in capsys.readouterr().out
