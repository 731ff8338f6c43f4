"""Writes a version of a model for TensorFlow Serving, complete and verified or not at all."""

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from ..common.checksums import seal
from ..common.errors import UserError
from ..common.files import PARTIAL, replacing
from ..common.progress_bar import ProgressBar
from ..models.recurrent.portable import device_portable
from ..serving.names import check_name
from ..serving.versions import CHECKSUMS, versions
from .bundle import UNKNOWN, About, Bundle, Signature
from .demonstration import EXAMPLE_IMAGE, example_image
from .examples import to_json
from .guards import guarded
from .model_card import write_card
from .serving_files import write_serving_files
from .verify import verification
from .warmup import write_warmup_requests

# Temporary directories begin with it, followed by the number of the process.
_STAGING = f"{PARTIAL}{platform.node()}-"
# Example requests of a signature, with their answers or without.
_Examples = list[dict[str, dict]]


def export(bundle: Bundle, output: str | os.PathLike[str], about: About = UNKNOWN) -> Path:
    """Writes the next version of a model.

    The version directory appears under its number only after its graph was checked, and its example requests gave the
    same answers in two fresh processes (`verification`). The files for serving appear beside the versions.

    Args:
        bundle: Model and signatures.
        output: Directory of the model; its name is the model's name.
        about: Facts for the model card and for the page of `unroll serve`.

    Returns:
        The version directory, `output/<number>`.

    Raises:
        UserError: If `output` is a file, or its name cannot be a model's name.
        VerificationError: If the saved model fails a check, or its answers differ from those of the model in memory.
    """
    output = Path(output).resolve()
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; give --output a directory for the versions of the model.")
    check_name(output.name, f"--output={output}")
    output.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(output)
    staging = Path(tempfile.mkdtemp(prefix=f"{_STAGING}{os.getpid()}-", dir=output))
    try:
        # Each signature is traced and answers its examples; the rest is to write the model and to verify it.
        parts = 2 * len(bundle.signatures) + 2
        with verification() as verify, ProgressBar("exporting", "parts", parts) as bar:
            _write(bundle, staging, output.name, about, bar)
            verified = verify(staging)
            _describe(bundle, staging, about, partial(_answered, bar=bar))
            seal(staging, CHECKSUMS)
            demonstration = verified()
            bar.update()
        write_card(staging, output.name, bundle.application, about, demonstration)
        write_serving_files(output)
        version = output / str(max(versions(output), default=0) + 1)
        staging.chmod(0o755)
        os.rename(staging, version)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return version


def _remove_abandoned(output: Path) -> None:
    """Removes what killed exports of this machine have left."""
    for staging in output.glob(f"{_STAGING}*-*"):
        try:
            os.kill(int(staging.name.removeprefix(_STAGING).partition("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(staging, ignore_errors=True)
        except (PermissionError, ValueError):
            continue


def _write(bundle: Bundle, directory: Path, model_name: str, about: About, bar: ProgressBar) -> None:
    module = tf.Module()
    # TensorFlow's variables, not Keras' wrappers: a tracked Keras model would save each variable twice, and loaders
    # with a session would restore the copy that the graph does not read.
    module.weights = [variable.value for variable in bundle.model.variables]
    module.resources = list(bundle.resources)
    signatures: dict[str, Any] = {}
    with device_portable():
        for name, signature in bundle.signatures.items():
            signatures[name] = _traced(guarded(signature), signature)
            bar.update()
    # Nobody trains the exported graph.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, os.fspath(directory), signatures=signatures, options=options)
    bar.update()
    extra = directory / "assets.extra"
    extra.mkdir(exist_ok=True)
    requests = {name: signature.requests for name, signature in bundle.signatures.items()}
    write_warmup_requests(extra, model_name, requests)
    image = example_image(next(iter(requests.values()))[0])
    if image:
        (directory / EXAMPLE_IMAGE).write_bytes(image)
    _describe(bundle, directory, about, _requests)


def _describe(
    bundle: Bundle, directory: Path, about: About, examples_of: Callable[[Signature], _Examples]
) -> None:
    """Writes what `unroll` itself reads of a version, with the examples of each signature."""
    description = {
        "application": bundle.application,
        "summary": about.summary,
        "limits": [*about.limits],
        "examples": {name: examples_of(signature) for name, signature in bundle.signatures.items()},
    }
    # A replaying process may be reading it.
    with replacing(directory / "assets.extra" / "unroll.json") as temporary:
        temporary.write_text(json.dumps(description, indent=1), encoding="utf-8")


def _traced(
    function: Callable[..., Mapping[str, tf.Tensor]], signature: Signature
) -> tf.types.experimental.ConcreteFunction:
    return tf.function(function, autograph=False).get_concrete_function(**signature.inputs)


def _requests(signature: Signature) -> _Examples:
    """Returns the example requests, without answers."""
    return [{"inputs": to_json(request)} for request in signature.requests]


def _answered(signature: Signature, bar: ProgressBar) -> _Examples:
    """Returns the example requests with the answers of the model in memory, computed by its ordinary loop."""
    # Without guards, which no example needs.
    function = _traced(signature.function, signature)
    answered = []
    for request in signature.requests:
        # On the CPU, where the replay runs.
        with tf.device("/CPU:0"):
            outputs = function(**{name: tf.constant(value) for name, value in request.items()})
        outputs = {name: value.numpy() for name, value in outputs.items()}
        answered.append({"inputs": to_json(request), "outputs": to_json(outputs)})
    bar.update()
    return answered
