"""The files for servers beside a model's versions: read by the schema of whoever reads them."""

import json

import compose_spec
import kubernetes_validate
import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from unroll.common.errors import UserError
from unroll.export.bundle import Bundle
from unroll.export.saved_model import export
from unroll.export.serving_files import write_serving_files
from unroll.serving.server.config import metrics_path
from unroll.serving.server.options import ServerOptions


def test_models_config_names_the_model(exported_model):
    text = (exported_model / "models.config").read_text(encoding="utf-8")
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == (
        "sentiment",
        "/models/sentiment",
        "tensorflow",
    )
    assert model.model_version_policy.latest.num_versions == 1


# The fields of BatchingParameters in TensorFlow Serving's session_bundle_config.proto, which its Python package lacks.
BATCHING = """
name: "batching.proto" syntax: "proto3" dependency: "google/protobuf/wrappers.proto"
message_type { name: "BatchingParameters"
  field { name: "max_batch_size" number: 1 type_name: ".google.protobuf.Int64Value" type: TYPE_MESSAGE }
  field { name: "batch_timeout_micros" number: 2 type_name: ".google.protobuf.Int64Value" type: TYPE_MESSAGE }
  field { name: "max_enqueued_batches" number: 3 type_name: ".google.protobuf.Int64Value" type: TYPE_MESSAGE }
  field { name: "num_batch_threads" number: 4 type_name: ".google.protobuf.Int64Value" type: TYPE_MESSAGE }
  field { name: "thread_pool_name" number: 5 type_name: ".google.protobuf.StringValue" type: TYPE_MESSAGE }
  field { name: "allowed_batch_sizes" number: 6 type: TYPE_INT64 label: LABEL_REPEATED }
  field { name: "pad_variable_length_inputs" number: 7 type: TYPE_BOOL }
}
"""


def test_batching_parameters_are_those_of_tensorflow_serving(exported_model):
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(text_format.Parse(BATCHING, descriptor_pb2.FileDescriptorProto()))
    parameters = message_factory.GetMessageClass(pool.FindMessageTypeByName("BatchingParameters"))()
    text_format.Parse((exported_model / "batching.config").read_text(encoding="utf-8"), parameters)
    assert parameters.max_batch_size.value > 1
    assert parameters.num_batch_threads.value >= 1
    assert parameters.batch_timeout_micros.value > 0


def served_command(command, model):
    """The flags of a server's command, whose files are there."""
    flags = dict(argument.removeprefix("--").split("=", 1) for argument in command)
    for name, value in flags.items():
        if name.endswith("_file"):
            assert (model / value.removeprefix(f"/models/{model.name}/")).is_file()
    return flags


FLAGS = {
    "model_config_file",
    "enable_batching",
    "batching_parameters_file",
    "monitoring_config_file",
    "rest_api_port",
    "port",
}


def test_monitoring_config_is_read_by_the_server(exported_model):
    options = ServerOptions(monitoring_config_file=str(exported_model / "monitoring.config"))
    assert metrics_path(options) == "/monitoring/prometheus/metrics"


def test_compose_file_serves_the_model_on_cpu_and_gpu(exported_model):
    text = (exported_model / "compose.yaml").read_text(encoding="utf-8")
    compose = yaml.safe_load(text)
    compose_spec.PyCompose.from_json(json.dumps(compose)).validate()
    services = compose["services"]
    assert set(services) == {"cpu", "gpu"}
    # Pinned, and both of one release.
    assert services["cpu"]["image"].removeprefix("tensorflow/serving:")[0].isdigit()
    assert services["gpu"]["image"] == f"{services['cpu']['image']}-gpu"
    for name, service in services.items():
        assert service["profiles"] == [name]
        assert service["volumes"] == [".:/models/sentiment:ro"]
        assert served_command(service["command"], exported_model).keys() == FLAGS


def test_kubernetes_manifest_fits_the_schemas(exported_model):
    documents = list(yaml.safe_load_all((exported_model / "kubernetes.yaml").read_text(encoding="utf-8")))
    deployment, service, autoscaler = documents
    for document in documents:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert served_command(container["args"], exported_model).keys() == FLAGS
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models/sentiment"
    assert {"cpu", "memory"} == container["resources"]["limits"].keys()
    assert service["spec"]["selector"] == pod["metadata"]["labels"]
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]


@pytest.mark.parametrize(
    ("name", "label"),
    [("Film Reviews_2", "film-reviews-2"), ("影評", "model"), ("a" * 80, "a" * 57), ("a.b", "a-b")],
)
def test_names_of_models_become_names_that_kubernetes_allows(tmp_path, name, label):
    model = tmp_path / name
    model.mkdir()
    write_serving_files(model)
    for document in yaml.safe_load_all((model / "kubernetes.yaml").read_text(encoding="utf-8")):
        assert document["metadata"]["name"] == label
    (deployment, *_) = yaml.safe_load_all((model / "kubernetes.yaml").read_text(encoding="utf-8"))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == f"/v1/models/{name}"
    config = (model / "models.config").read_text(encoding="utf-8")
    (listed,) = text_format.Parse(
        config, model_server_config_pb2.ModelServerConfig()
    ).model_config_list.config
    assert listed.name == name


@pytest.mark.parametrize("name", ['"demo"', "demo:1", "a\\b", "#1", "why?", "line\nbreak"])
def test_names_that_servers_cannot_address_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="servers cannot address a model with the name"):
        export(Bundle("sentiment", None, [], {}), tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_directory_without_a_name_is_refused():
    with pytest.raises(UserError, match="--output=/ gives the model no name"):
        export(Bundle("sentiment", None, [], {}), "/")
