"""Bundles of small, untrained models of all applications."""

from unroll.export.bundle import Bundle
from unroll.models.captioning import CaptioningModel
from unroll.models.decoding import Beams
from unroll.models.language_model import LanguageModel
from unroll.models.options import (
    CaptioningOptions,
    LanguageModelOptions,
    SentimentOptions,
    TranslationOptions,
)
from unroll.models.sentiment import SentimentClassifier
from unroll.models.text import CharacterCodec, RunningTextCodec, SubwordCodec, WordCodec
from unroll.models.translation import TranslationModel
from unroll.tasks.captioning import signatures as captioning
from unroll.tasks.captioning.config import CaptioningConfig
from unroll.tasks.captioning.image_features import ImageFeatures
from unroll.tasks.language_modeling import signatures as language_modeling
from unroll.tasks.sentiment import signatures as sentiment
from unroll.tasks.translation import signatures as translation

_TEXTS = [b"a man and the dog play in the garden , really !", b"the film is good . the film is not bad"]


def _sentiment() -> Bundle:
    encoder = WordCodec.learn([_TEXTS], tokenizer="words", max_length=20)
    model = SentimentClassifier(len(encoder), 3, SentimentOptions(units=4, embedding_size=4))
    model.build()
    return sentiment.bundle(model, encoder, {"bad": 5, "good": 3, "so so": 2})


def _translation() -> Bundle:
    encoder = SubwordCodec.learn([_TEXTS], tokenizer="subwords", max_size=60, max_length=20)
    options = TranslationOptions(cell="gru", units=8, embedding_size=4)
    model = TranslationModel(len(encoder), len(encoder), options)
    model.build()
    return translation.bundle(model, encoder, encoder, Beams(3), 12)


def _captioning() -> Bundle:
    encoder = SubwordCodec.learn([_TEXTS], tokenizer="words")
    images = ImageFeatures(CaptioningConfig(image_encoder="small", image_size=32), None)
    model = CaptioningModel(len(encoder), images.features, CaptioningOptions(units=8, embedding_size=4))
    model.build()
    return captioning.bundle(model, images, encoder, Beams(3), 12)


def _language_model(
    tokenizer: str, codec: type[CharacterCodec | RunningTextCodec] = CharacterCodec
) -> Bundle:
    encoder = codec.learn([_TEXTS], tokenizer=tokenizer, max_size=60)
    model = LanguageModel(len(encoder), LanguageModelOptions(cell="gru", units=5))
    model.build()
    return language_modeling.bundle(model, encoder)


BUNDLES = {
    "sentiment": _sentiment,
    "translation": _translation,
    "captioning": _captioning,
    "characters": lambda: _language_model("characters"),
    "bytes": lambda: _language_model("bytes"),
    "running_words": lambda: _language_model("words", RunningTextCodec),
}
