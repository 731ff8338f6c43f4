"""Replays the example requests of a SavedModel in a separate process and compares the answers.

    python -m unroll.export.replay tensorflow|c_api

Reads the directory from standard input, once its libraries are loaded, and calls the signatures; at the next line it
compares, since the exporting process answers the requests meanwhile. Exits with code 1 and one line on stderr at the
first difference. Through the C API it also prints the model's demonstration, as JSON. Imports no training code.
"""

import json
import os
import sys
from pathlib import Path

from ..common.quiet_start import import_tensorflow
from ..serving.c_api import SavedModelSession
from ..serving.python_api import PythonSession
from ..serving.saved_model import SavedModel
from ..serving.warmup import read_warmup_requests
from .demonstration import demonstrate
from .examples import answers, compare


def main() -> None:
    through_c_api = sys.argv[1] == "c_api"
    if not through_c_api:
        # An exported model needs no Keras.
        import_tensorflow(without=["keras"])
    path = sys.stdin.buffer.readline().removesuffix(b"\n")
    # The exporting process has ended.
    if not path:
        return
    directory = Path(os.fsdecode(path))
    try:
        loaded = SavedModel(directory, SavedModelSession if through_c_api else PythonSession)
        found = answers(directory, loaded.call)
        if not through_c_api:
            for signature, inputs in read_warmup_requests(directory / "assets.extra"):
                loaded.call(signature, inputs)
        if not sys.stdin.buffer.readline():
            return
        compare(directory, found)
        if through_c_api:
            print(json.dumps(demonstrate(directory, loaded)._asdict()))
    except AssertionError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
