"""A web page to try registered models with images and to review labels: ``python -m goodbad_pipeline.app``.

The server listens on 127.0.0.1 only. It rejects requests for other host names and requests from other sites.
"""

import argparse
import asyncio
import io
import logging
import socket
import webbrowser
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import uvicorn
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from PIL import Image
from starlette.middleware.trustedhost import TrustedHostMiddleware

from goodbad_pipeline import lazy
from goodbad_pipeline.errors import InputError
from goodbad_pipeline.evaluation import figures
from goodbad_pipeline.images.rejections import Reason
from goodbad_pipeline.registry.models import CHAMPION, RegisteredModel, find_model, list_versions, load_version
from goodbad_pipeline.review.queue import Desk
from goodbad_pipeline.review.routes import create_router
from goodbad_pipeline.serving.classifier import COLUMNS, Classifier
from goodbad_pipeline.stored_review import load_desk, open_project

gradcam = lazy.load("goodbad_pipeline.training.gradcam")  # imports Keras

logger = logging.getLogger("goodbad_pipeline.app")  # __name__ is "__main__" here

HOST = "127.0.0.1"
PORT = 7860
MAX_BYTES = 20_000_000
MAX_LOADED = 4
"""Number of models that stay in memory."""
HEAT_MAP_SIDE = 320  # minimum side in pixels; smaller heat maps are enlarged by an integer factor
PAGE = Path(__file__).with_name("page")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def create_app(
    model: RegisteredModel | None,
    max_bytes: int = MAX_BYTES,
    desk: Desk | None = None,
    *,
    no_model: str = "",
    no_review: str = "",
) -> FastAPI:
    """Create the app, which serves the page, four endpoints of models, and the endpoints of the review.

    ``GET /models`` lists the registered versions, and ``GET /model`` describes one version. ``POST /predict`` receives
    the bytes of a file and returns the prediction of the registered pyfunc. ``POST /explain?label=good`` receives the
    bytes of a file and returns the Grad-CAM heat map of a class as a PNG. The status is 404 if the file is rejected,
    the model has no such class, or the model lacks the layers that Grad-CAM needs. The status is 413 if the file has
    more than ``max_bytes``. The query ``name=goodbad&version=3`` selects version 3 instead of ``model``.
    Without a model or a desk, the page shows ``no_model`` or ``no_review`` instead.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    lock = asyncio.Lock()  # one image at a time, since the network uses all cores
    load = _loader(model, no_model)

    async def choose(name: str = "", version: str = "") -> tuple[RegisteredModel, Any]:
        async with lock:
            return await asyncio.to_thread(load, name, version)

    Chosen = Annotated[tuple[RegisteredModel, Any], Depends(choose)]  # noqa: N806

    @app.exception_handler(InputError)
    async def refuse(request: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 404)

    @app.middleware("http")
    async def harden(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        forbidden = PlainTextResponse("This server accepts requests from its own page only.\n", 403)
        response = forbidden if _is_foreign(request) else await call_next(request)
        response.headers.update(HEADERS)
        return response

    @app.get("/models")
    async def list_models() -> list[dict[str, Any]]:
        return await asyncio.to_thread(list_versions)

    @app.get("/model")
    async def describe(chosen: Chosen) -> dict[str, Any]:
        found, calibration = chosen[0], chosen[0].classifier.calibration
        facts = {"name": found.name, "version": found.version, "class_names": found.class_names}
        return facts | {"threshold": calibration.threshold, "abstain_below": calibration.abstain_below}

    @app.post("/predict")
    async def predict(request: Request, chosen: Chosen) -> JSONResponse:
        data = await _read(request, max_bytes)
        if data is None:
            detail = f"the file has more than {max_bytes:,} bytes"
            rejected = {"abstained": False, "reason": Reason.UNREADABLE, "detail": detail}
            return JSONResponse(dict.fromkeys(COLUMNS) | rejected, 413)
        async with lock:
            predictions = await asyncio.to_thread(chosen[0].classifier.classify, [data])
        (prediction,) = predictions.to_dict("records")
        return JSONResponse(prediction)

    @app.post("/explain")
    async def explain(request: Request, chosen: Chosen, label: str) -> Response:
        found, explainer = chosen
        data = await _read(request, max_bytes)
        if data is None or explainer is None:
            return Response(status_code=413 if data is None else 404)
        async with lock:
            png = await asyncio.to_thread(_explain, explainer, found.classifier, data, label)
        return Response(png, 404 if png is None else 200, media_type="image/png")

    app.include_router(create_router(desk, no_review, f"{model.name} {model.version}" if model else ""))
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


def _is_foreign(request: Request) -> bool:
    """Return True if a script, form or image of another site sent the request. Links that users follow are allowed."""
    headers = request.headers
    if "origin" in headers:
        return headers["origin"] != f"http://{headers.get('host')}"
    is_link = request.method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not is_link


def _loader(first: RegisteredModel | None, no_model: str) -> Callable[[str, str], tuple[RegisteredModel, Any]]:
    """Return a function that loads a version by name and number; each has the one of ``first`` by default."""

    @lru_cache(MAX_LOADED)
    def load(name: str, version: str) -> tuple[RegisteredModel, Any]:
        is_first = first is not None and (name, version) == (first.name, first.version)
        model = first if first and is_first else load_version(name, version)
        return model, _explainer(model)

    def choose(name: str, version: str) -> tuple[RegisteredModel, Any]:
        if first is not None:
            return load(name or first.name, version or first.version)
        if name and version:
            return load(name, version)
        raise InputError(no_model)

    if first is not None:
        choose("", "")
    return choose


def _explainer(model: RegisteredModel) -> Any:
    try:
        return gradcam.Explainer(model.model)
    except ValueError:
        logger.warning("%s version %s lacks the layers that Grad-CAM needs", model.name, model.version)
        return None


def _explain(explainer: Any, classifier: Classifier, file: bytes, label: str) -> bytes | None:
    """Return the image overlaid with the heat map of a class, as a square PNG.

    Return None if the file is rejected or the classifier has no such class.
    """
    names = list(classifier.calibration.class_names)
    pixels = classifier.load_image(file)
    if label not in names or not isinstance(pixels, np.ndarray):
        return None
    heat = explainer.explain(pixels[None], np.array([names.index(label)]))
    shown = Image.fromarray(figures.overlay(pixels[None], figures.enlarge(heat, pixels.shape[0]))[0])
    side = pixels.shape[0] * max(1, -(-HEAT_MAP_SIDE // pixels.shape[0]))
    stream = io.BytesIO()
    shown.resize((side, side), Image.Resampling.BICUBIC).save(stream, "PNG")
    return stream.getvalue()


async def _read(request: Request, max_bytes: int) -> bytes | None:
    """Read the body of a request; return None if the body has more than ``max_bytes``, whatever the headers state."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > max_bytes:
            return None
    return bytes(data)


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the model and the review from the project's store and serve the page until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m goodbad_pipeline.app", description=main.__doc__)
    parser.add_argument("--name", help="name of the registered model (default: registry.name of the parameters)")
    parser.add_argument("--version", help=f"alias or number of the version (default: {CHAMPION})")
    parser.add_argument("--port", type=int, default=PORT, help=f"default: {PORT}")
    parser.add_argument("--who", help="author of your decisions in a review (default: user of git or of the system)")
    parser.add_argument("--review", action="store_true", help="open the review in a browser")
    options = parser.parse_args(arguments)
    try:
        with _listen(options.port) as listener:
            app, shown = _load(options)
            address = "http://{}:{}".format(*listener.getsockname())
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
            logger.info("%s: %s", shown, address)
            if options.review:
                webbrowser.open(f"{address}/#review")
            server.run(sockets=[listener])
    except InputError as error:
        parser.exit(1, f"Error: {error}\n")
    except KeyboardInterrupt:  # Ctrl-C is how users end the server
        parser.exit(130)


def _load(options: argparse.Namespace) -> tuple[FastAPI, str]:
    """Return the app, and what it shows. A project needs a model or a review; one of them may be missing."""
    context = open_project()
    desk, no_review = None, ""
    try:
        desk = load_desk(context, options.who)
    except InputError as error:
        if options.review:
            raise
        no_review = str(error)
    try:
        model = find_model(options.name or context.params["registry"]["name"], options.version or CHAMPION)
    except InputError as error:
        if desk is None or options.name or options.version:
            raise
        logger.warning("The page can only review: %s", error)
        return create_app(None, desk=desk, no_model=str(error)), "Review"
    return create_app(model, desk=desk, no_review=no_review), f"{model.name} version {model.version}"


def _listen(port: int) -> socket.socket:
    """Reserve the port before the model is loaded."""
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        cause = str(error).partition(" (while")[0]
        raise InputError(f"--port: must be a free port, got {port} ({cause}); choose another with --port") from error


if __name__ == "__main__":
    main()
