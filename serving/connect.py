"""Connects to a model on a server."""

from . import arguments
from .applications import application_of, model_of
from .model import Model
from .remote import parse_address


def connect(url: str, name: str | None = None, deadline: float = 60.0) -> Model:
    """Connects to an exported model on a server: TensorFlow Serving, or `unroll serve`.

    Over REST it imports neither TensorFlow nor Keras. A call that finds the server unavailable is repeated with growing
    pauses until its deadline.

    Args:
        url: REST (http://localhost:8501) or gRPC (grpc://localhost:8500). The model's name may stand behind it, as in
            http://localhost:8501/demo, and a version or label, as in http://localhost:8501/v1/models/demo/versions/2.
        name: Name of the model, unless the URL has it.
        deadline: Seconds that a call may take, with its retries.

    Returns:
        The model, of the class that `load` returns.

    Raises:
        UserError: If the URL is wrong, or the server does not serve such a model.
        ServerError: If the server does not answer.
    """
    address = parse_address(url, name)
    arguments.number(
        deadline,
        "deadline",
        "a number of seconds above 0, at most a day",
        lambda seconds: 0 < seconds <= 86_400,
    )
    # Late: each needs a library that the other, and a model in this process, does not need.
    if address.scheme == "grpc":
        from .grpc_backend import GrpcBackend as Backend
    else:
        from .rest_backend import RestBackend as Backend
    backend = Backend(address, deadline)
    return model_of(application_of(backend.signatures, address), backend, address)
