"""TensorFlow Serving's REST API over a model in memory: predict, status, metadata, and a page to try it.

Paths, answers, error bodies and status codes are TensorFlow Serving's own (its `api_rest.md` and
`http_rest_api_handler.cc`); a body over the limit, which it has none of, is a 413.
"""

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
from serving.errors import RequestError, invalid
from serving.models import DEFAULT_SIGNATURE, ServedModel

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


def create_app(model: ServedModel, max_body_bytes: int) -> Starlette:
    """The ASGI application.

    Args:
      model: what answers.
      max_body_bytes: a larger request is refused with a 413.
    """
    page = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    page = page.replace("{{ model }}", html.escape(model.name))

    async def show_page(request: Request) -> Response:
        return HTMLResponse(page, headers=_HEADERS)

    async def answer(request: Request) -> Response:
        try:
            body = await _read(request, max_body_bytes)
            return await run_in_threadpool(_answer, model, request.method, request.url.path, body)
        except RequestError as error:
            return _error(_HTTP.get(error.code, 500), error.message)
        except ClientDisconnect:
            return Response(status_code=499)

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _error(error.status_code, f"{error.detail}: {request.method} {request.url.path}")

    async def fail(request: Request, error: Exception) -> Response:
        return _error(500, f"The server failed: {type(error).__name__}: {error}")

    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return Starlette(
        routes=[Route("/", show_page), Route("/v1/{path:path}", answer, methods=methods)],
        exception_handlers={HTTPException: refuse, Exception: fail},
    )


async def _read(request: Request, limit: int) -> bytes:
    """The whole body. One over the limit is read to its end but not kept, so that the sender sees the answer."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        else:
            chunks.clear()
    if size > limit:
        raise HTTPException(413, f"The body has {size:,} bytes and the limit is {limit:,}; send fewer images at once")
    return b"".join(chunks)


def _answer(model: ServedModel, method: str, path: str, body: bytes) -> Response:
    if method == "POST" and (match := _CALL.fullmatch(path)):
        if match["method"].lower() != "predict":
            raise _unsupported(model, match["method"].lower(), body, *_target(match))
        return _json(_predict(model, body, *_target(match)))
    if method == "GET" and (match := _LOOK.fullmatch(path)):
        if not match["name"]:
            raise invalid("Missing model name in request.")
        if match["part"]:
            return _json(_metadata(model, *_target(match)))
        name, version, label = _target(match)
        if label:
            model.find(name, version, label)
        return _json(_to_json(messages.status(model.statuses(name, version))))
    raise invalid(f"Malformed request: {method} {path}")


def _target(match: re.Match[str]) -> tuple[str, int | None, str]:
    """The model's name, the version and the label a path asks for."""
    version = int(match["version"]) if match["version"] else None
    if version is not None and version >= 2**63:
        raise invalid(f"Failed to convert version: {version} to numeric.")
    return match["name"], version, match["label"] or ""


def _predict(model: ServedModel, body: bytes, name: str, version: int | None, label: str) -> dict[str, Any]:
    document = json_tensors.parse(body)
    signature = json_tensors.signature_name(document) or DEFAULT_SIGNATURE
    loaded = model.find(name, version, label)
    if signature not in loaded.signatures:
        raise invalid(f'Serving signature name: "{signature}" not found in signature def')
    dtypes = loaded.input_dtypes(signature)
    if not dtypes:
        raise invalid(f"Failed to get input map for signature: {signature}")
    inputs, layout = json_tensors.read_inputs(document, dtypes)
    return json_tensors.write_outputs(loaded.run(signature, inputs), layout)


def _unsupported(
    model: ServedModel, method: str, body: bytes, name: str, version: int | None, label: str
) -> RequestError:
    signature = json_tensors.signature_name(json_tensors.parse(body))
    return model.find(name, version, label).unsupported(method, signature)


def _metadata(model: ServedModel, name: str, version: int | None, label: str) -> dict[str, Any]:
    loaded = model.find(name, version, label)
    return {
        "model_spec": _to_json(messages.spec(name, loaded.number)),
        "metadata": {"signature_def": _to_json(messages.signatures(loaded.signatures))},
    }


def _to_json(message: Any) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _json(value: Any, status: int = 200) -> Response:
    text = json.dumps(value, ensure_ascii=False, indent=None)
    return Response(text, status_code=status, media_type="application/json", headers=_HEADERS)


def _error(status: int, message: str) -> Response:
    return _json({"error": message}, status)
