"""The training loop."""

import math
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import keras
import tensorflow as tf

from ...common.checksums import write_listed_json
from ...common.counts import counted
from ...common.errors import FailedError, UserError
from ...common.json_lines import JsonLines
from ...common.options import memory_flags
from ...models.blocks.precision import dtype_policy
from ...models.recurrent.cudnn import has_gpu
from ..data import PreparedData
from ..task import Evaluation, Task
from .checkpoints import Checkpoints
from .fitting import ENOUGH_STEPS
from .interruption import Interrupted, Interruption
from .journal import Journal
from .observer import Observer
from .progress import Progress
from .state import TrainingState
from .step import StepResult
from .workers import Workers


class DivergenceError(FailedError):
    """The loss became infinite, not a number, or many times its first value."""


class Trainer:
    """Trains a model in its run directory, from the last checkpoint if there is one.

    Args:
        task: The application.
        data: Its data in the run directory, with the options of the run; it need not be prepared.
        workers: The workers of the training; None: this process alone, on one device.
        callbacks: Keras callbacks, which must not need state from an earlier process.
        observers: Objects that watch the training.
        fit: Takes the prepared data of a run before its first step, and returns it with options that fit its size.
        start: Gives the model of a run its weights before the first step, instead of random ones.
        interruption: Handles signals; by default they are not handled.
    """

    def __init__(
        self,
        task: Task,
        data: PreparedData,
        workers: Workers | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        observers: Sequence[Observer] = (),
        fit: Callable[[PreparedData], PreparedData] | None = None,
        start: Callable[[keras.Model, PreparedData], None] | None = None,
        interruption: Interruption | None = None,
    ) -> None:
        self.task = task
        self.data = data
        self.config = data.config
        self.run = data.run
        self._workers = workers or Workers(tf.distribute.get_strategy())
        self._callbacks = callbacks
        self._checkpoints = Checkpoints(self.run.checkpoints)
        self._observers = observers
        self._fit = fit
        self._start = start
        # That of the best weights.
        self._warning = ""
        self._interruption = interruption or Interruption()
        # Step and epoch of the newest checkpoint of this process.
        self._saved: tuple[int, int] | None = None

    def train(self) -> keras.Model:
        """Trains until the last epoch or an early stop.

        Returns:
            The model, with the weights of the last step.

        Raises:
            DivergenceError: If the training diverges; the message says what to try.
            Interrupted: If a signal came; a checkpoint was saved.
        """
        self._check_options()
        if self._workers.is_chief:
            self._prepare()
        self._workers.check_all_see(self.run.data)
        if self._fit and not self._checkpoints:
            self.data = self._fit(self.data)
            self.config = self.data.config
        config = self.config
        # After the preparation, which draws random numbers if it generates a data set.
        keras.utils.set_random_seed(config.seed)
        if has_gpu():
            # Sums of many threads would else differ from run to run.
            tf.config.experimental.enable_op_determinism()
        is_new = not self._checkpoints
        with dtype_policy(config.precision):
            state, progress = self._checkpoints.restore(
                lambda progress: TrainingState(
                    self.task,
                    self.data,
                    self._workers.strategy,
                    config.jit_compile,
                    progress.epoch,
                    loads_rows=self._workers.count > 1,
                )
            )
        if is_new:
            self.task.initialize(state.model, self.data)
            if self._start:
                self._start(state.model, self.data)
            if state.average:
                state.average.reset()
        self._workers.check_same(progress.step, "checkpoints")
        if self._workers.is_chief:
            self._print_start(state.model, progress)
        done = progress.epoch + progress.examples / self.data.train_examples
        self._journal = Journal(self.run, config.epochs, done, self._workers.is_chief)
        if self._workers.is_chief:
            for file in self._files:
                file.cut(progress.file_sizes.get(file.name, 0))
        for observer in self._observers:
            observer.begin(state, self._journal.writer)
        callbacks = keras.callbacks.CallbackList(
            list(self._callbacks), model=state.model, epochs=config.epochs, steps=None, verbose=1
        )
        # As `Model.fit` does: callbacks read the optimizer and may set `stop_training`.
        state.model.optimizer = state.optimizer
        state.model.stop_training = False
        callbacks.on_train_begin()
        with self._interruption.deferred():
            try:
                while not progress.end_of(config) and not state.model.stop_training:
                    self._check_signal()
                    callbacks.on_epoch_begin(progress.epoch)
                    self._train_epoch(state, progress, callbacks)
                    logs = self._end_epoch(state, progress)
                    callbacks.on_epoch_end(progress.epoch - 1, logs)
            except Interrupted as interrupted:
                self._save(state, progress)
                raise Interrupted(
                    interrupted.number, f"after step {progress.step}, with a checkpoint"
                ) from None
            finally:
                self._journal.end_of_steps()
        callbacks.on_train_end()
        if self._warning:
            print(self._warning, flush=True)
        return state.model

    def _prepare(self) -> None:
        self.data.prepare()
        if changed := self.data.changed_source():
            print(
                f"{changed} has changed since this run prepared its data, with which it goes on; give another "
                "--workdir to train on the changed file.",
                file=sys.stderr,
            )

    def _check_options(self) -> None:
        config = self.config
        if config.monitor not in self.task.metrics:
            raise UserError(
                f"--monitor={config.monitor} is not measured here; choose one of {', '.join(self.task.metrics)}."
            )
        if not self.data.has_validation and (config.schedule == "plateau" or config.early_stopping_patience):
            raise UserError(
                "--schedule=plateau and --early_stopping_patience need a validation part; give "
                "--validation_data or a --validation_fraction above 0."
            )

    def _print_start(self, model: keras.Model, progress: Progress) -> None:
        if reason := progress.end_of(self.config):
            print(f"The run in {self.run.path} has ended: {reason}.", flush=True)
            return
        self._print_summary(model)
        if progress.step:
            print(f"Resuming after step {progress.step}, in epoch {progress.epoch + 1}.", flush=True)

    def _print_summary(self, model: keras.Model) -> None:
        steps, epochs = self.data.steps, self.config.epochs
        print(f"Training on {self.data.summary}.")
        print(
            f"The model has {model.count_params():,} parameters; {counted(steps, 'step')} an epoch, "
            f"{steps * epochs:,} in all.",
            flush=True,
        )
        if steps * epochs < ENOUGH_STEPS:
            sizes = " or ".join(memory_flags(self.config))
            print(
                f"{counted(steps * epochs, 'step')} may be too few to learn from; give more --epochs than {epochs}, or "
                f"less than {sizes}.",
                flush=True,
            )

    @property
    def _files(self) -> list[JsonLines]:
        """The files that grow with the steps."""
        return [self._journal.lines, *(observer.lines for observer in self._observers)]

    def _train_epoch(
        self, state: TrainingState, progress: Progress, callbacks: keras.callbacks.CallbackList
    ) -> None:
        config, examples, journal = self.config, self.data.train_examples, self._journal
        journal.begin_epoch(progress.epoch, examples, progress.examples)
        while True:
            asked = time.monotonic()
            batch = next(state.iterator, None)
            waited = time.monotonic() - asked
            if batch is None:
                journal.end_of_steps()
                return
            rows = int(tf.nest.flatten(batch)[0].shape[0])
            rate = self._learning_rate(state, progress)
            logs_now = (progress.step + 1) % config.log_every == 0
            before = state.weights() if logs_now else None
            for observer in self._observers:
                observer.before_step(progress.step, batch)
            callbacks.on_train_batch_begin(progress.step)
            result = state.step(batch, rate, progress.step, self._interruption.received is not None)
            loss = float(result.loss.total) / float(result.loss.weight)
            progress.add_step(float(result.loss.total), float(result.loss.weight), rows)
            self._check_divergence(loss, float(result.gradient_norm), progress)
            journal.step(rows, float(result.loss.tokens), waited)
            if before is not None:
                values = {
                    "epoch": progress.epoch + 1,
                    "loss": loss,
                    "learning_rate": rate,
                    "gradient_norm": float(result.gradient_norm),
                    "clipped_gradient_norm": float(result.clipped_norm),
                    "update_to_weight_ratio": float(_update_ratio(before, state.weights())),
                }
                journal.log(progress.step, values)
            callbacks.on_train_batch_end(progress.step - 1, {"loss": loss})
            if progress.step % config.checkpoint_every == 0:
                self._save(state, progress)
            self._check_signal(result)

    def _check_signal(self, result: StepResult | None = None) -> None:
        """Raises Interrupted after a signal; of several workers in all of them, after the step in which they tell."""
        if self._workers.count == 1:
            self._interruption.check()
        elif result and float(result.stopped):
            raise Interrupted(self._interruption.received or signal.SIGTERM)

    def _learning_rate(self, state: TrainingState, progress: Progress) -> float:
        """Returns the learning rate of the next step."""
        done = progress.epoch + progress.examples / self.data.train_examples - state.phase_begin
        return state.phase.learning_rate(progress.step, done / state.phase.epochs, progress.plateau_scale)

    def _end_epoch(self, state: TrainingState, progress: Progress) -> dict[str, float]:
        config, journal = self.config, self._journal
        train_loss = progress.mean_loss
        if state.average:
            state.average.end_epoch()
        with state.average.in_use() if state.average else nullcontext():
            evaluation = self._validated(state.model, progress)
            metrics = evaluation.metrics
            is_best = progress.end_epoch(
                config, metrics.get(config.monitor), self.task.metrics[config.monitor]
            )
            if is_best and self._workers.is_chief:
                self._warning = evaluation.warning
                self.run.save_best_weights(state.model)
                write_listed_json(
                    self.run.best_metrics, {"epoch": progress.epoch, "step": progress.step} | metrics
                )
        logs = {"train_loss": train_loss} | {f"validation_{name}": value for name, value in metrics.items()}
        journal.write(
            progress.step, {"epoch": progress.epoch} | logs | {"compilations": state.step.compilations}
        )
        first = {name: metrics[name] for name in (config.monitor, "loss") if name in metrics}
        shown = {"train_loss": train_loss} | {
            f"validation_{name}" if name == "loss" else name: value
            for name, value in (first | metrics).items()
        }
        journal.print_epoch(progress.epoch, shown, is_best)
        state.begin_epoch(progress.epoch)
        self._save(state, progress)
        return logs

    def _validated(self, model: keras.Model, progress: Progress) -> Evaluation:
        """Returns the quality of a model on the validation part; an empty one without such a part."""
        if not self.data.has_validation:
            return Evaluation({}, {}, "")
        name, evaluation, is_interrupted = self.config.monitor, Evaluation({}, {}, ""), False
        if self._workers.is_chief:
            try:
                with self._interruption.deferred(False):
                    self.task.calibrate(model, self.data)
                    evaluation = self.task.evaluate(model, self.data, "validation")
            except Interrupted:
                is_interrupted = True
        # The others wait meanwhile.
        if self._workers.of_chief(is_interrupted):
            raise Interrupted(self._interruption.received or signal.SIGTERM)
        monitored = self._workers.of_chief(evaluation.metrics.get(name, 0.0))
        if not self._workers.is_chief:
            evaluation = Evaluation({name: monitored}, {}, "")
        if not math.isfinite(monitored):
            raise self._divergence(progress, f"the validation {name} is {monitored}")
        return evaluation

    def _save(self, state: TrainingState, progress: Progress) -> None:
        if (progress.step, progress.epoch) == self._saved:
            return
        self._saved = progress.step, progress.epoch
        if not self._workers.is_chief:
            return
        progress.file_sizes = {file.name: file.size for file in self._files}
        self._checkpoints.save(state.tensors, progress)

    def _check_divergence(self, loss: float, gradient_norm: float, progress: Progress) -> None:
        limit = self.config.divergence_factor * progress.first_loss
        if math.isfinite(loss) and math.isfinite(gradient_norm) and progress.recent_loss <= limit:
            return
        raise self._divergence(
            progress,
            f"the loss is {loss:.4g} (it was {progress.first_loss:.4g} at first) and the gradient's norm "
            f"{gradient_norm:.4g}",
        )

    def _divergence(self, progress: Progress, what: str) -> DivergenceError:
        return DivergenceError(
            f"Training diverged at step {progress.step}: {what}. Train again in another --workdir, and try "
            f"--global_clipnorm=1, a smaller --learning_rate than {self.config.learning_rate:g}, or "
            "--warmup_steps=500."
        )


def _update_ratio(before: list[tf.Tensor], after: list[tf.Tensor]) -> tf.Tensor:
    """Returns |change of the weights| / |weights| of one step; about 1e-3 is healthy."""
    change = tf.linalg.global_norm([a - b for a, b in zip(after, before, strict=True)])
    return change / tf.maximum(tf.linalg.global_norm(before), 1e-12)
