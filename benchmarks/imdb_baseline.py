"""A linear baseline for IMDB: TF-IDF of words, or of words and bigrams, and logistic regression.

    python benchmarks/imdb_baseline.py --data=DIRECTORY

DIRECTORY holds train.tsv.gz and test.tsv.gz with columns label and text. Needs `pip install scikit-learn`.
"""

import time

from absl import app, flags
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from unroll.tasks.datasets.tables import read_table

_DATA = flags.DEFINE_string("data", None, "directory of the data", required=True)
# Chosen on the last tenth of a shuffled training set.
_C = flags.DEFINE_float("c", 30.0, "inverse strength of the regularisation")


def main(_):
    train, test = (
        list(zip(*read_table(f"{_DATA.value}/{split}.tsv.gz", ("text", "label")), strict=True))
        for split in ("train", "test")
    )
    for name, longest in (("words", 1), ("words and bigrams", 2)):
        start = time.perf_counter()
        vectorizer = TfidfVectorizer(ngram_range=(1, longest), min_df=2, sublinear_tf=True)
        model = make_pipeline(vectorizer, LogisticRegression(C=_C.value, max_iter=1000))
        model.fit(*train)
        print(f"{name:18} test accuracy {model.score(*test):.4f}   {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    app.run(main)
