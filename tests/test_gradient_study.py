"""The gradient study: its long-range tasks, and its measurements."""

from pathlib import Path

import gradient_study
import long_range_training as training
import numpy as np
import pytest
import tensorflow as tf
from long_range_tasks import Adding, Copy, Recall

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("task", [Recall(12), Adding(20), Copy(7)])
def test_tasks_are_solved_by_who_remembers(task, rng):
    batch = task.draw(rng, 50)
    x, targets = batch["inputs"], batch["targets"]
    assert x.shape[2] == task.features
    outputs = np.zeros((*x.shape[:2], task.outputs), "float32")
    match task:
        case Recall():
            outputs[:, -1, :8] = x[:, 0, :8]
            assert not x[:, 1:, :8].any()
        case Adding():
            outputs[:, -1, 0] = (x[..., 0] * x[..., 1]).sum(axis=1)
            np.testing.assert_array_equal(x[:, :10, 1].sum(axis=1), 1)
            np.testing.assert_array_equal(x[:, 10:, 1].sum(axis=1), 1)
        case Copy():
            outputs[:, -5:] = x[:, :5, :8]
    assert task.solved(outputs, targets) == 1
    assert task.solved(np.zeros_like(outputs), targets) < 0.5
    right, _ = task.loss(
        lambda inputs, training: tf.constant(100 * outputs if task.outputs > 1 else outputs), batch, True
    )
    np.testing.assert_allclose(right.total, 0, atol=1e-5)
    assert right.weight == 50


def test_kernels_begin_with_the_singular_values_asked_for():
    values = np.linalg.svd(training.ScaledOrthogonal(1.5)((16, 16), dtype="float32"), compute_uv=False)
    np.testing.assert_allclose(values, 1.5, rtol=1e-5)
    bias = training.ForgetBias(3.0)((8,), dtype="float32")
    np.testing.assert_array_equal(bias, [0, 0, 3, 3, 0, 0, 0, 0])


def test_truncated_training_is_what_the_layer_calls_truncation(rng):
    task = Recall(9)

    def layer(**options):
        return training.SimpleRNN(6, seed=1, kernel_initializer="ones", **options)

    # The loss is on the last step: blocks counted back from it are the window that is trained on.
    model = training.build_model(task, lambda **options: layer(truncate_gradient=4, **options))
    batch = {name: tf.constant(v) for name, v in task.draw(rng, 5).items()}

    def gradients(call):
        with tf.GradientTape() as tape:
            total = task.loss(call, batch, training=True)[0].total
        return tape.gradient(total, [v.value for v in model.trainable_variables])

    for one, other in zip(gradients(model), gradients(training.truncated(model, 4)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_training_tells_its_outcome():
    network = training.NETWORKS[-1]
    outcome = training.train(
        Recall(6), lambda **options: network.layer(6, **options), steps=3, learning_rate=1e-3, clip=1e-3
    )
    assert (outcome.steps, outcome.solved, outcome.diverged) == (3, False, False)
    assert len(outcome.norms) == 3
    assert outcome.share_clipped == 1
    assert len(outcome.reach_before) == len(outcome.reach_after) == 7
    assert outcome.reach_before[0] == 1


@pytest.mark.parametrize("old", ["", "old\n"])
def test_tables_stand_between_their_marks(tmp_path, old):
    page = tmp_path / "page.md"
    page.write_text(f"before\n<!-- one -->\n{old}<!-- end of one -->\nafter\n", encoding="utf-8")
    gradient_study.replace_tables(page, {"one": gradient_study.markdown_table(["a"], [["1"]])})
    assert page.read_text(encoding="utf-8") == (
        "before\n<!-- one -->\n| a |\n| --- |\n| 1 |\n<!-- end of one -->\nafter\n"
    )
    docs = (ROOT / "docs" / "gradients.md").read_text(encoding="utf-8")
    assert all(
        f"<!-- {name} -->\n" in docs and f"\n<!-- end of {name} -->" in docs for name in gradient_study.TABLES
    )
