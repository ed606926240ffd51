"""TensorFlow Serving's REST API over a model in memory: predict, status, metadata, metrics, and a page to try it.

Paths, answers, error bodies and status codes are TensorFlow Serving's own (its `api_rest.md` and
`http_rest_api_handler.cc`), byte for byte. Ours are a header that names the version that answered, a limit on the
body, over which the answer is 413, and on the time that sending it takes, after which it is 408.
"""

import asyncio
import html
import json
import re
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from serving import json_tensors, messages
from serving.backend import Backend
from serving.config import ServingConfig
from serving.errors import RequestError, invalid
from serving.json_writer import Writer, show
from serving.model_config import METRICS_PATH
from serving.models import DEFAULT_SIGNATURE

VERSION_HEADER = "Model-Version"

_HEADERS = {"Server": "tfx-vision development server"}
_MODEL = r"/v1/models/(?P<name>[^/:]+)"
_VERSION = r"(/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(_MODEL + _VERSION + r":(?P<method>classify|regress|predict)", re.IGNORECASE)
_LOOK = re.compile(f"/v1/models({_MODEL.removeprefix('/v1/models')})?{_VERSION}(/(?P<part>metadata))?", re.IGNORECASE)
_HTTP = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}

Target = tuple[str, int | None, str]
"""The model's name, the version and the label a request asks for."""


def create_app(backend: Backend, config: ServingConfig) -> Starlette:
    """The ASGI application.

    Args:
      backend: what answers.
      config: the limits.
    """
    page = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    page = page.replace("{{ model }}", html.escape(backend.model.name))

    async def show_page(request: Request) -> Response:
        return HTMLResponse(page, headers=_HEADERS)

    async def show_metrics(request: Request) -> Response:
        return Response(backend.metrics.page(), media_type="text/plain", headers=_HEADERS)

    async def answer(request: Request) -> Response:
        try:
            body = await _read(request, config)
        except ClientDisconnect:
            return Response(status_code=499)
        return await run_in_threadpool(_answer, backend, request.method, request.url.path, body)

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        response = _error(error.status_code, f"{error.detail}: {request.method} {request.url.path}")
        if error.status_code == 408:
            response.headers["Connection"] = "close"
        return response

    async def fail(request: Request, error: Exception) -> Response:
        return _error(500, f"The server failed: {type(error).__name__}: {error}")

    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return Starlette(
        routes=[
            Route("/", show_page),
            Route(METRICS_PATH, show_metrics),
            Route("/v1/{path:path}", answer, methods=methods),
        ],
        exception_handlers={HTTPException: refuse, Exception: fail},
    )


async def _read(request: Request, config: ServingConfig) -> bytes:
    """The whole body. One over the limit is read to its end but not kept, so that the sender sees the answer."""
    chunks, size = [], 0
    try:
        async with asyncio.timeout(config.client_timeout):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= config.max_body_bytes:
                    chunks.append(chunk)
                else:
                    chunks.clear()
    except TimeoutError as error:
        raise HTTPException(408, f"The body did not come within {config.client_timeout:g} seconds") from error
    if size > config.max_body_bytes:
        limit = config.max_body_bytes
        raise HTTPException(413, f"The body has {size:,} bytes and the limit is {limit:,}; send fewer images at once")
    return b"".join(chunks)


def _answer(backend: Backend, method: str, path: str, body: bytes) -> Response:
    call = _CALL.fullmatch(path) if method == "POST" else None
    look = _LOOK.fullmatch(path) if method == "GET" else None
    match = call or look
    # A name that is not ours would be a label of its own in the metrics, without an end to them.
    known = backend.model.name if match and match["name"] == backend.model.name else ""
    with backend.metrics.request(known, call["method"].lower() if call else "", "REST") as outcome:
        try:
            if call:
                return _call(backend, call["method"].lower(), body, _target(call))
            if look:
                return _look(backend, look["part"] or "", _target(look))
            raise invalid(f"Malformed request: {method} {path}")
        except RequestError as error:
            outcome.status = error.code
            return _error(_HTTP.get(error.code, 500), error.message)


def _call(backend: Backend, method: str, body: bytes, target: Target) -> Response:
    document = json_tensors.parse(body)
    signature = json_tensors.signature_name(document) or DEFAULT_SIGNATURE
    if method != "predict":
        _check_examples(document)
        raise backend.model.find(*target).unsupported(method, signature)
    loaded = backend.model.find(*target)
    if signature not in loaded.signatures:
        raise invalid(f'Serving signature name: "{signature}" not found in signature def')
    dtypes = loaded.input_dtypes(signature)
    if not dtypes:
        raise invalid(f"Failed to get input map for signature: {signature}")
    inputs, layout = json_tensors.read_inputs(document, dtypes)
    results = backend.run(loaded, signature, inputs)
    return _json(json_tensors.write_outputs(results, layout), version=loaded.number)


def _check_examples(document: dict[str, Any]) -> None:
    if "examples" not in document:
        wanted = "When method is classify, key 'examples' is expected and was not found"
    elif not isinstance(document["examples"], list):
        wanted = "Expecting 'examples' value to be an list/array"
    elif not document["examples"]:
        wanted = "'examples' value is an empty array"
    else:
        return
    raise invalid(f"JSON Value: {show(document)} {wanted}")


def _look(backend: Backend, part: str, target: Target) -> Response:
    name, version, label = target
    if not name:
        raise invalid("Missing model name in request.")
    if not part:  # TensorFlow Serving takes no notice of a label here
        status = _to_json(messages.status(backend.model.statuses(name, version)))
        return _json(_pretty(status))
    loaded = backend.model.find(name, version, label)
    spec = {"name": name, "signature_name": "", "version": str(loaded.number)}
    signatures = _to_json(messages.signatures(loaded.signatures))
    # Put together from two messages' texts, as TensorFlow Serving does.
    text = f'{{\n"model_spec":{_pretty(spec)},\n"metadata": {{"signature_def": {_pretty(signatures)}}}\n}}\n'
    return _json(text, version=loaded.number)


def _target(match: re.Match[str]) -> Target:
    version = int(match["version"]) if match["version"] else None
    if version is not None and version >= 2**63:
        raise invalid(f"Failed to convert version: {match['version']} to numeric.")
    return match["name"] or "", version, match["label"] or ""


def _to_json(message: Any) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _pretty(value: Any) -> str:
    """JSON as protobuf prints it."""
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _json(content: str | bytes, status: int = 200, version: int | None = None) -> Response:
    headers = _HEADERS if version is None else _HEADERS | {VERSION_HEADER: str(version)}
    return Response(content, status_code=status, media_type="application/json", headers=headers)


def _error(status: int, message: str) -> Response:
    writer = Writer()
    writer.value({"error": message})
    return _json(writer.text().encode("utf-8", "surrogateescape"), status)
