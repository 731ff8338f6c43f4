"""The files for TensorFlow Serving beside a model's versions."""

import os
from pathlib import Path

# A pinned tag: "latest" changes, and an image that does not match the driver fails at start.
SERVING_TAG = "2.20.0"

_MODELS_CONFIG = """\
# TensorFlow Serving: --model_config_file=/models/{name}/models.config
model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
    # The newest version serves; older ones stay on disk to go back to.
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
}}
"""

_BATCHING = """\
# TensorFlow Serving: --enable_batching=true --batching_parameters_file=/models/{name}/batching.config
# Requests that arrive within two milliseconds of each other share a batch. Inputs are strings, so that rows of
# different length need no padding by the server.
max_batch_size { value: 64 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
"""

_COMPOSE = """\
# docker compose --profile cpu up      or      docker compose --profile gpu up
# The same files serve on both: the graph holds a loop for CPUs and cuDNN for GPUs.
x-serving: &serving
  command:
    - --model_config_file=/models/{name}/models.config
    - --enable_batching=true
    - --batching_parameters_file=/models/{name}/batching.config
    - --rest_api_port=8501
    - --port=8500
  volumes: [".:/models/{name}:ro"]
  ports: ["8501:8501", "8500:8500"]

services:
  cpu:
    <<: *serving
    profiles: [cpu]
    image: tensorflow/serving:{tag}
  gpu:
    <<: *serving
    profiles: [gpu]
    image: tensorflow/serving:{tag}-gpu
    deploy:
      resources:
        reservations:
          devices: [{{driver: nvidia, count: 1, capabilities: [gpu]}}]
"""


def write_serving_files(directory: Path) -> None:
    """Writes models.config, batching.config and compose.yaml into a model's directory.

    Existing files stay as they are: users may have changed them.
    """
    name = directory.name
    contents = {
        "models.config": _MODELS_CONFIG.format(name=name),
        "batching.config": _BATCHING.replace("{name}", name),
        "compose.yaml": _COMPOSE.format(name=name, tag=SERVING_TAG),
    }
    for file_name, content in contents.items():
        path = directory / file_name
        if not path.exists():
            temporary = directory / f".partial-{file_name}"
            temporary.write_text(content, encoding="utf-8")
            os.replace(temporary, path)
