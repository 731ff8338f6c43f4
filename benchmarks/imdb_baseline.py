"""Classifiers that count words, for IMDB: TF-IDF, NB-SVM and fastText's method.

    python benchmarks/imdb_baseline.py --data=DIRECTORY

DIRECTORY holds train.tsv.gz and test.tsv.gz with columns label (0 or 1) and text. Other tables: --train, --test and
--text_column. Needs `pip install scikit-learn`.
"""

import time
from typing import Any

import numpy as np
import tensorflow as tf
from absl import app, flags
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from unroll.tasks.datasets.tables import read_table

_DATA = flags.DEFINE_string("data", ".", "directory of the data")
_TRAIN = flags.DEFINE_string("train", "train.tsv.gz", "file of the training part")
_TEST = flags.DEFINE_string("test", "test.tsv.gz", "file of the test part")
_TEXT = flags.DEFINE_string("text_column", "text", "column of the texts")
# Those of the linear models were chosen on the last tenth of a shuffled training set.
_C = flags.DEFINE_float("c", 30.0, "inverse strength of the regularisation of TF-IDF")

# A token is a word or a punctuation mark.
_TOKEN = r"\w+|[^\w\s]"


class NaiveBayesSVM:
    """Logistic regression on binary n-grams times their log-count ratios (Wang and Manning, 2012).

    Args:
        longest: Largest n.
        c: Inverse strength of the regularisation.
    """

    def __init__(self, longest: int, c: float = 1.0) -> None:
        self._vectorizer = CountVectorizer(ngram_range=(1, longest), binary=True, token_pattern=_TOKEN)
        self._model = LogisticRegression(C=c, solver="liblinear", dual=True, max_iter=100)

    def fit(self, texts: list[str], labels: list[str]) -> None:
        counts: Any = self._vectorizer.fit_transform(texts)
        positive = np.array(labels) == max(labels)
        p, q = (np.asarray(counts[rows].sum(axis=0)) + 1 for rows in (positive, ~positive))
        self._ratios = csr_matrix(np.log(p / p.sum()) - np.log(q / q.sum()))
        self._model.fit(counts.multiply(self._ratios).tocsr(), labels)

    def score(self, texts: list[str], labels: list[str]) -> float:
        counts: Any = self._vectorizer.transform(texts)
        return float(self._model.score(counts.multiply(self._ratios).tocsr(), labels))


class FastText:
    """A linear classifier of the mean embedding of words and hashed bigrams, trained by SGD with a linearly falling
    rate (Joulin et al., 2017, https://arxiv.org/abs/1607.01759).

    Args:
        size: Size of an embedding.
        rate: First learning rate.
        epochs: Passes over the training part.
    """

    _BUCKETS, _ROWS = 2**21, 16

    def __init__(self, size: int = 10, rate: float = 0.5, epochs: int = 10) -> None:
        self._vectorizer = HashingVectorizer(
            ngram_range=(1, 2),
            n_features=self._BUCKETS,
            alternate_sign=False,
            norm="l1",
            token_pattern=_TOKEN,
        )
        self._rate, self._epochs = rate, epochs
        self._embeddings = tf.Variable(tf.random.uniform([self._BUCKETS, size], -1 / size, 1 / size, seed=0))
        self._output = tf.Variable(tf.zeros([size, 1]))

    def fit(self, texts: list[str], labels: list[str]) -> None:
        features: Any = self._vectorizer.transform(texts)
        targets = (np.array(labels) == max(labels)).astype(np.float32)
        chance, done = np.random.default_rng(0), 0
        for _ in range(self._epochs):
            order = chance.permutation(len(targets))
            for first in range(0, len(order), self._ROWS):
                rows = order[first : first + self._ROWS]
                left = 1 - done / (self._epochs * len(order))
                self._step(*_sparse(features[rows]), targets[rows], tf.constant(self._rate * left))
                done += len(rows)

    def score(self, texts: list[str], labels: list[str]) -> float:
        features: Any = self._vectorizer.transform(texts)
        logits = [
            self._logits(*_sparse(features[first : first + 512])).numpy()
            for first in range(0, len(texts), 512)
        ]
        return float(np.mean((np.concatenate(logits) > 0) == (np.array(labels) == max(labels))))

    @tf.function(reduce_retracing=True)
    def _logits(self, ids: tf.Tensor, shares: tf.Tensor, rows: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        vectors = tf.gather(self._embeddings, ids) * shares[:, None]
        return tf.matmul(tf.math.unsorted_segment_sum(vectors, rows, count), self._output)[:, 0]

    @tf.function(reduce_retracing=True)
    def _step(
        self, ids: Any, shares: Any, rows: Any, count: Any, targets: tf.Tensor, rate: tf.Tensor
    ) -> None:
        with tf.GradientTape() as tape:
            logits = self._logits(ids, shares, rows, count)
            loss = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))
        gradients: Any = tape.gradient(loss, [self._embeddings, self._output])
        of_embeddings, of_output = gradients
        self._embeddings.scatter_sub(tf.IndexedSlices(rate * of_embeddings.values, of_embeddings.indices))
        self._output.assign_sub(rate * of_output)


def _sparse(features: csr_matrix) -> tuple[tf.Tensor, ...]:
    """Returns the columns, values and rows of a sparse matrix, and its number of rows."""
    entries = features.tocoo()
    return (
        tf.constant(entries.col, tf.int32),
        tf.constant(entries.data, tf.float32),
        tf.constant(entries.row, tf.int32),
        tf.constant(features.shape[0]),
    )


def _tf_idf(longest: int) -> Any:
    vectorizer = TfidfVectorizer(ngram_range=(1, longest), min_df=2, sublinear_tf=True)
    return make_pipeline(vectorizer, LogisticRegression(C=_C.value, max_iter=1000))


def main(_):
    train, test = (
        list(zip(*read_table(f"{_DATA.value}/{name.value}", (_TEXT.value, "label")), strict=True))
        for name in (_TRAIN, _TEST)
    )
    models = {
        "TF-IDF, words": lambda: _tf_idf(1),
        "TF-IDF, bigrams": lambda: _tf_idf(2),
        "fastText, bigrams": FastText,
        "NB-SVM, trigrams": lambda: NaiveBayesSVM(3),
    }
    for name, make in models.items():
        start, cpu = time.perf_counter(), time.process_time()
        model = make()
        model.fit(*train)
        accuracy = model.score(*test)
        print(
            f"{name:18} test accuracy {accuracy:.4f}   {time.perf_counter() - start:.0f} s, "
            f"{time.process_time() - cpu:.0f} s of one core",
            flush=True,
        )


if __name__ == "__main__":
    app.run(main)
