"""The routes of the page at `/`, on which a browser tries the models: its files, and a list of the models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ...common.errors import UserError
from ..applications import application_of, class_of
from ..model import TensorSpec
from ..versions import describe
from .errors import RequestError
from .models import Models
from .version import Version

_FOLDER = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Browsers ask for a newer file each time.
_FRESH = {"cache-control": "no-cache"}


def page_routes(models: Models) -> list[BaseRoute]:
    """Returns the routes of the page.

    Args:
        models: The served models.
    """

    # In a thread: a description is a file.
    def list_models(_: Request) -> Response:
        listed = [_described(models, name) for name in models.names]
        return Response(orjson.dumps({"models": listed}), media_type="application/json", headers=_FRESH)

    # Read once, so that no path of a request reaches the file system.
    files = {path.name: (path.read_bytes(), _TYPES[path.suffix]) for path in _FOLDER.iterdir()}
    routes: list[BaseRoute] = [_file("/", *files.pop("index.html"))]
    routes += [_file(f"/page/{name}", *file) for name, file in files.items()]
    return [*routes, Route("/page/models", list_models, methods=["GET"])]


def _file(path: str, content: bytes, media_type: str) -> Route:
    async def answer(_: Request) -> Response:
        return Response(content, media_type=media_type, headers=_FRESH)

    return Route(path, answer, methods=["GET"])


def _described(models: Models, name: str) -> dict[str, Any]:
    """Describes the newest version of a model for the page.

    Returns:
        `name`; `version`, null if none answers; `application`, null if it is of another kind; `signatures`, the inputs
        and outputs of each; `example`, the first input of the warm-up requests, if it is a text; `summary` and
        `limits`, sentences that the export wrote about the model.
    """
    try:
        with models.version(name) as version:
            application, description = _known(version, name)
            return {
                "name": name,
                "version": version.number,
                "application": application,
                "signatures": {
                    signature: {"inputs": _tensors(spec.inputs), "outputs": _tensors(spec.outputs)}
                    for signature, spec in sorted(version.signatures.items())
                },
                "example": _example(application, description),
                "summary": description.get("summary", ""),
                "limits": description.get("limits", []),
            }
    except RequestError:
        return {"name": name, "version": None}


def _known(version: Version, name: str) -> tuple[str | None, Mapping[str, Any]]:
    """Returns the application of a version, None for another kind of model; and its description, {} without one."""
    try:
        application = application_of(version.signatures, name)
    except UserError:
        return None, {}
    try:
        return application, describe(version.directory)
    except UserError:
        return application, {}


def _tensors(specs: Mapping[str, TensorSpec]) -> dict[str, str]:
    """Describes inputs or outputs, such as "float32 [batch, 3]"."""
    return {
        name: f"{'string' if spec.dtype.kind == 'O' else spec.dtype.name} "
        f"[{', '.join(['batch', *('…' if size is None else str(size) for size in spec.shape[1:])])}]"
        for name, spec in specs.items()
    }


def _example(application: str | None, description: Mapping[str, Any]) -> str:
    if application is None or not description:
        return ""
    (request, *_) = description["examples"][class_of(application, "").first_signature]
    texts = [request["inputs"][name] for name in ("text", "prompt") if name in request["inputs"]]
    return texts[0]["values"][0] if texts else ""
