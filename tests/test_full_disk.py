"""A disk that is full while a run is trained and exported: a sentence, and the same command goes on."""

import contextlib
import ctypes
import io
import json
import multiprocessing
import os
import resource
import sys

import keras
import numpy as np
import pytest
from captioned_images import as_flags
from conftest import replaying_here
from tiny_training import tiny_options

from unroll.serving.c_api import SavedModelSession
from unroll.tasks import cli
from unroll.tasks.training.run_directory import RunDirectory

# Of <sched.h> and <sys/mount.h>.
NEW_USER, NEW_MOUNTS, REMOUNT = 0x10000000, 0x00020000, 32
# Bytes of the disk: full while the data is prepared, full while a checkpoint is saved, and not full; then full while
# the model is exported, and not full.
TRAINING, EXPORT = (20_480, 77_824, 1 << 28), (262_144, 1 << 28)
# Forked from a process that has imported all of it, which takes seconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["test_full_disk", "unroll.tasks.training.trainer", "unroll.export.saved_model"]
)


class NoMountsError(Exception):
    """This process may not mount a file system."""


def called(function, *arguments):
    if function(*arguments):
        raise NoMountsError(os.strerror(ctypes.get_errno()))


def resize(disk, size, flags=REMOUNT):
    libc = ctypes.CDLL(None, use_errno=True)
    called(libc.mount, b"none", os.fsencode(disk), b"tmpfs", flags, f"size={size}".encode())


def run_on_small_disks(disk, commands, told):
    """Runs each command on a disk of several sizes, which this process alone sees, and writes what it gave.

    Args:
        disk: Directory at which to mount it.
        commands: (arguments, sizes) of each command.
        told: File for a list of [exit code, output, partial files].
    """
    results = []
    libc = ctypes.CDLL(None, use_errno=True)
    user = os.getuid()
    try:
        called(libc.unshare, NEW_MOUNTS if user == 0 else NEW_USER | NEW_MOUNTS)
        resize(disk, TRAINING[0], flags=0)
    except NoMountsError:
        sys.exit(77)
    for arguments, sizes in commands:
        for size in sizes:
            resize(disk, size)
            output = io.StringIO()
            with contextlib.redirect_stderr(output), replaying_here(SavedModelSession):
                code = cli.main(arguments)
            partial = [str(path) for path in disk.rglob(".partial-*")]
            results.append([code, output.getvalue(), partial])
            told.write_text(json.dumps(results), encoding="utf-8")


def test_a_full_disk_is_told_and_the_same_command_goes_on(trained_run, tmp_path):
    disk, told = tmp_path / "disk", tmp_path / "told.json"
    disk.mkdir()
    flags = as_flags(tiny_options(tmp_path) | {"epochs": 1, "checkpoint_every": 3})
    commands = [
        (["train", "sentiment", f"--workdir={disk / 'run'}", *flags], TRAINING),
        (["export", f"--workdir={trained_run}", f"--output={disk / 'model'}"], EXPORT),
    ]
    process = PROCESSES.Process(target=run_on_small_disks, args=(disk, commands, told))
    process.start()
    process.join(300)
    if process.exitcode == 77:
        pytest.skip("needs to mount a file system")
    assert process.exitcode == 0
    results = json.loads(told.read_text(encoding="utf-8"))
    assert [code for code, *_ in results] == [2, 2, 0, 2, 0]
    for code, output, _ in results:
        assert ("unroll: The disk is full (No space left on device at " in output) == (code == 2)
        assert "Traceback" not in output
    assert [partial for code, _, partial in results if code == 0] == [[], []]


def test_weights_that_find_no_room_leave_the_best_ones_alone(tmp_path):
    run, model = RunDirectory(tmp_path), keras.Sequential([keras.Input([9]), keras.layers.Dense(50)])
    run.save_best_weights(model)
    best = model.get_weights()
    model.set_weights([np.ones_like(weight) for weight in best])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        # HDF5 itself would end the process.
        with pytest.raises(OSError, match="too large"):
            run.save_best_weights(model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    run.load_best_weights(model)
    for found, expected in zip(model.get_weights(), best, strict=True):
        np.testing.assert_array_equal(found, expected)
