"""Turns measurements into sentences: a verdict on a network's gradients, and advice.

A layer is judged at the distance that its task needs: the mean length of the sequences, or the truncation if that is
shorter.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

# Too little of the gradient arrives to learn from: nearer steps drown a thousandth of their gradient.
VANISHED = 1e-3
# The gradient grows too much on its way.
EXPLODED = 10.0
# A truncation cuts off useful gradient if at least this share arrives at its edge.
ALIVE = 0.1
# Below this share, the truncation has nothing to cut off.
SPENT = 1e-2
# A spike is a norm this many times the median.
SPIKE = 10.0
# Ignore distances that fewer than this share of the rows have.
_ROWS = 0.05

Kind = Literal["healthy", "vanishing", "exploding"]


class Judgement(NamedTuple):
    """The judgement on one layer.

    Attributes:
        name: Name of the layer.
        kind: The judgement.
        sentence: The judgement with its numbers.
        distance: Number of steps back at which the layer is judged.
        reach: Share of the last step's gradient that arrives there.
    """

    name: str
    kind: Kind
    sentence: str
    distance: int
    reach: float


class Verdict(NamedTuple):
    """The verdict on a model.

    Attributes:
        kind: The worst judgement on its layers.
        layers: The judgement on each layer.
        notes: Sentences about clipping and truncation.
        advice: Suggestions, the most promising first.
    """

    kind: Kind
    layers: list[Judgement]
    notes: list[str]
    advice: list[str]

    @property
    def lines(self) -> list[str]:
        """The verdict as lines of text."""
        lines = [judgement.sentence for judgement in self.layers] + self.notes
        if self.advice:
            lines += ["", "What to try:", *(f"- {advice}" for advice in self.advice)]
        return lines


def judge(measured: dict[str, Any], config: Any = None) -> Verdict:
    """Returns the verdict on a run's measurements.

    Args:
        measured: Result of `measurements.measure`.
        config: Options of the run, for the advice; None leaves the advice out.
    """
    layers = [judge_layer(layer, measured["truncation"], measured["step"]) for layer in measured["layers"]]
    kinds: set[Kind] = {judgement.kind for judgement in layers}
    kind: Kind = "exploding" if "exploding" in kinds else "vanishing" if "vanishing" in kinds else "healthy"
    notes = [
        *_shortcut_notes(measured, layers),
        *_truncation_notes(measured),
        *_clipping_notes(measured["clipping"]),
    ]
    advice = [] if config is None else _advice(kinds, measured, layers, config)
    return Verdict(kind, layers, notes, advice)


def judge_layer(layer: dict[str, Any], truncation: int | None, step: str) -> Judgement:
    """Judges a layer by its curves `reach` and `rows`; mentions its `kernel` if given."""
    reach, rows = layer["reach"], layer["rows"]
    if not rows:
        sentence = f"{layer['name']}: vanishing: the loss gives this layer no gradient at all."
        return Judgement(layer["name"], "vanishing", sentence, 0, 0.0)
    distance = _needed(rows, truncation)
    arrives = reach[distance]
    within = [_size(value) for value in reach[: distance + 1]]
    peak = max(range(len(within)), key=within.__getitem__)
    if within[peak] > EXPLODED:
        grown = "to infinity" if math.isinf(within[peak]) else f"{_show(within[peak])} times"
        sentence = f"exploding: the last {step}'s gradient grows {grown} on its way {peak} {step}s back"
        if "kernel" in layer:
            largest = max(gate["largest_singular_value"] for gate in layer["kernel"].values())
            sentence += f"; largest singular value {_show(largest)}"
        return Judgement(layer["name"], "exploding", f"{layer['name']}: {sentence}.", distance, arrives)
    gets = f"a {step} {distance} steps back gets {_show(arrives)} of the last {step}'s gradient"
    if arrives < VANISHED:
        gone = next(k for k, value in enumerate(reach) if value < VANISHED)
        sentence, kind = f"vanishing: {gets}; after {gone} steps less than a thousandth is left", "vanishing"
    else:
        sentence, kind = f"healthy: {gets}", "healthy"
    return Judgement(layer["name"], kind, f"{layer['name']}: {sentence}.", distance, arrives)


def _needed(rows: Sequence[float], truncation: int | None) -> int:
    """Returns the distance at which a layer is judged, from `rows`, the number of rows that have each distance."""
    # A row of length n has the distances 0 .. n - 1.
    mean_length = round(sum(rows) / rows[0])
    furthest = max(k for k, count in enumerate(rows) if count >= _ROWS * rows[0])
    return max(0, min(mean_length, truncation or mean_length, furthest + 1) - 1)


def _shortcut_notes(measured: dict[str, Any], judgements: list[Judgement]) -> list[str]:
    notes = []
    for layer, (name, kind, _, distance, _) in zip(measured["layers"], judgements, strict=True):
        if kind != "vanishing" or not layer["rows"]:
            continue
        own = layer["loss_h"][distance] / layer["loss_h"][0] if distance < len(layer["loss_h"]) else 0
        if own > ALIVE:
            notes.append(
                f"{name}: the loss reaches the {measured['step']} {distance} steps back by a shorter path than the "
                f"recurrence (pooling, attention, or a loss at each step): its dL/dh is {_show(own)} of the last one's."
            )
    return notes


def _clipping_notes(clipping: dict[str, Any] | None) -> list[str]:
    if clipping is None:
        return []
    share, median, largest = clipping["share_clipped"], clipping["median"], clipping["largest"]
    notes = [
        f"{100 * share:.0f} % of the {clipping['logged_steps']} logged steps were clipped; before clipping, the median "
        f"of the gradient norm was {_show(median)} and its maximum {_show(largest)}."
    ]
    if _size(largest) > SPIKE * median:
        notes.append(f"Spikes: the largest norm is {_show(largest / median)} times the median.")
    return notes


def _truncation_notes(measured: dict[str, Any]) -> list[str]:
    truncation, step = measured["truncation"], measured["step"]
    notes = []
    for layer in measured["layers"]:
        reach = layer["reach"]
        if not reach or truncation is None or truncation >= len(reach):
            continue
        beyond = _size(reach[truncation])
        if beyond > ALIVE:
            notes.append(
                f"{layer['name']}: the truncation at {truncation} {step}s cuts off a gradient that is still "
                f"{_show(beyond)} of the last {step}'s."
            )
        elif max(map(_size, reach[truncation // 2 : truncation + 1])) < SPENT:
            spent = next(k for k, value in enumerate(reach) if value < SPENT)
            notes.append(
                f"{layer['name']}: the truncation is at {truncation} {step}s, but after {spent} less than a hundredth "
                "of the gradient is left."
            )
    return notes


def _advice(
    kinds: set[Kind], measured: dict[str, Any], judgements: list[Judgement], config: Any
) -> list[str]:
    """Returns suggestions, in terms of the application's flags."""
    layers, truncation, option = measured["layers"], measured["truncation"], measured["truncation_option"]
    gateless = any(layer["memory_gate"] is None for layer in layers)
    clipped = any(getattr(config, name) for name in ("clipvalue", "clipnorm", "global_clipnorm"))
    spikes = (
        measured["clipping"]
        and _size(measured["clipping"]["largest"]) > SPIKE * measured["clipping"]["median"]
    )
    advice = []
    if "exploding" in kinds or spikes:
        if not clipped:
            limit = _show(measured["clipping"]["median"]) if measured["clipping"] else "1"
            advice.append(
                f"--global_clipnorm={limit}: a spike then changes the direction of a step, not its size."
            )
        advice.append(f"A smaller --learning_rate than {config.learning_rate:g}, or --warmup_steps=500.")
    if "exploding" in kinds:
        if gateless:
            advice.append(
                "--cell=lstm; or a smaller --recurrent_gain: with --recurrent_initializer=orthogonal it is every "
                "singular value of the first recurrent kernel."
            )
        advice.append(f"A shorter --{option}: a gradient grows with every step that it goes back.")
    if "vanishing" in kinds:
        if gateless:
            advice.append("--cell=lstm: the gradient of c is multiplied by the forget gate, not by a matrix.")
            advice.append(
                "--activation=relu --recurrent_initializer=identity (IRNN): its gradient neither grows nor shrinks at "
                "first."
            )
        else:
            advice.append(_memory_advice(layers, judgements))
        if hasattr(config, "pooling") and config.pooling == "last":
            advice.append("--pooling=max or attention: a shorter way from each step to the loss.")
        if hasattr(config, "attention") and config.attention == "none":
            advice.append("--attention=general: the decoder then sees every step of the source.")
        if truncation:
            advice.append(
                f"A shorter --{option}: steps that the gradient does not reach teach nothing, "
                "but cost as much as the others."
            )
    if truncation and any(
        truncation < len(layer["reach"]) and _size(layer["reach"][truncation]) > ALIVE for layer in layers
    ):
        advice.append(f"A longer --{option} than {truncation}.")
    return advice


def _memory_advice(layers: list[dict[str, Any]], judgements: list[Judgement]) -> str:
    longest = max(
        layer["gates"][layer["memory_gate"]]["memory_longest_tenth"]
        for layer in layers
        if layer["memory_gate"]
    )
    needed = max(2, *(judgement.distance for judgement in judgements))
    return (
        f"--forget_bias={math.log(needed):.1f}: units then start out keeping 1/e of their state for about the "
        f"{needed} steps needed; the tenth that remember longest now keep it for {_show(longest)}. Or train longer if "
        "the loss still falls."
    )


def _size(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else value


def _show(value: float) -> str:
    """Formats a number with two figures, or as 1e-06 if it is small or large."""
    if value is None or not math.isfinite(value):
        return "infinity"
    if value == 0:
        return "0"
    return (
        f"{value:.0e}" if value < 1e-3 or value >= 1e5 else f"{value:.2g}" if value < 100 else f"{value:.0f}"
    )
