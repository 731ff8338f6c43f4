"""Lexical shortlists: the target tokens that a sentence may be translated with."""

import numpy as np
import pytest
import tensorflow as tf
from exported import not_verified
from tiny_training import best_model

import unroll.serving
from unroll.export import saved_model
from unroll.models.decoding import Beams
from unroll.models.options import TranslationOptions
from unroll.models.text import pad
from unroll.models.translation import MeanTranslationModel, TranslationModel
from unroll.models.writing.shortlist import Shortlist
from unroll.tasks import cli
from unroll.tasks.translation.lexicon import learn_shortlist

TEXTS = ["The old dog sleeps here, the dog.", "The cat falls.", "", "The red house!"]
BEAMS = Beams(3, length_penalty=1.0)


@pytest.fixture(scope="module")
def trained(translation_run):
    """A model that knows its small language, and its data."""
    return best_model(translation_run)


def source_of(data, texts=TEXTS):
    return pad(data.source_codec.encode(tf.constant(texts)))


def test_a_row_may_be_written_with_its_own_tokens_and_the_frequent_ones():
    translations = np.zeros([6, 2], np.int32)
    translations[4], translations[5] = [9, 7], [8, 0]
    shortlist = Shortlist(translations, np.array([5, 1]), 12)
    allowed = shortlist(tf.constant([[4, 0], [5, 4], [0, 0]]))
    ids = allowed.ids.numpy()
    assert ids.tolist() == [0, 1, 2, 3, 5, 7, 8, 9]
    by_row = [set(ids[row].tolist()) - {0, 1, 2, 3, 5} for row in allowed.by_row.numpy()]
    assert by_row == [{7, 9}, {7, 8, 9}, set()]
    assert allowed.by_row.numpy()[:, :5].all()
    assert allowed.smallest == 5


@pytest.mark.parametrize("kind", ["model", "tied", "mean"])
def test_a_list_of_all_tokens_changes_nothing(trained, kind):
    data, model = trained
    if kind == "mean":
        model = MeanTranslationModel([model, model])
    if kind == "tied":
        options = TranslationOptions(units=8, embedding_size=4, tie_embeddings=True)
        model = TranslationModel(data.sizes.source_tokens, data.sizes.target_tokens, options)
        model.build()
    everything = Shortlist(
        np.zeros([data.sizes.source_tokens, 1], np.int32),
        np.arange(data.sizes.target_tokens),
        data.sizes.target_tokens,
    )
    source = source_of(data)
    plain, listed = (model.translate(source, BEAMS, 20, shortlist=of) for of in (None, everything))
    np.testing.assert_array_equal(plain.ids, listed.ids)
    np.testing.assert_allclose(plain.scores, listed.scores, atol=1e-5)


def test_translations_have_listed_tokens_alone_in_any_company(trained):
    data, model = trained
    chance = np.random.default_rng(0)
    tokens = data.sizes.target_tokens
    translations = chance.integers(4, tokens, [data.sizes.source_tokens, 2])
    shortlist = Shortlist(translations, np.arange(4, 8), tokens)
    source = source_of(data)
    together = model.translate(source, BEAMS._replace(block_ngrams=2), 12, shortlist=shortlist)
    for row in range(len(TEXTS)):
        alone = model.translate(
            source[row : row + 1], BEAMS._replace(block_ngrams=2), 12, shortlist=shortlist
        )
        length = alone.ids.shape[2]
        np.testing.assert_array_equal(alone.ids[0], together.ids[row, :, :length])
        np.testing.assert_allclose(alone.scores[0], together.scores[row], atol=1e-5)
        likely = translations[source[row][source[row] != 0].numpy()]
        exists = alone.scores[0] > -1e8
        assert exists[0]
        assert {*alone.ids[0][exists].numpy().ravel()} <= {*range(8), *likely.ravel()}


def test_a_learnt_list_holds_the_words_that_were_aligned(
    trained, translation_run, tmp_path, monkeypatch, capsys
):
    data, model = trained
    shortlist = learn_shortlist(model, data, 2)
    dog = data.source_codec.tokens.index("▁dog".encode())
    allowed = shortlist(tf.constant([[dog]]))
    assert len({*shortlist._translations.numpy()[dog]}) == 2
    assert "▁Hund".encode() in [data.target_codec.tokens[n] for n in allowed.ids.numpy()]

    monkeypatch.setattr(saved_model, "verification", not_verified)
    exported = tmp_path / "model"
    assert cli.main(["export", f"--workdir={translation_run}", f"--output={exported}", "--shortlist=5"]) == 0
    assert cli.main(["evaluate", f"--workdir={translation_run}", "--shortlist=5", "--split=validation"]) == 0
    assert "bleu_lc" in capsys.readouterr().out
    results = unroll.serving.load(exported).translate(TEXTS, n_best=2)
    ids = model.translate(source_of(data), BEAMS, 200).ids
    assert results[0].text == data.target_codec.decode(ids[0, 0]).numpy().decode()
    assert results[2].text == ""
