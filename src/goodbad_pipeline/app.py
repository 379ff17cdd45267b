"""A small page to try the champion: ``python -m goodbad_pipeline.app``.

It listens on 127.0.0.1 alone, answers only to that name, and refuses what a browser says another site's page asks.
"""

import argparse
import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.trustedhost import TrustedHostMiddleware

from goodbad_pipeline.errors import InputError
from goodbad_pipeline.registry.models import RegisteredModel, find_model
from goodbad_pipeline.serving.explanation import FileExplainer

logger = logging.getLogger("goodbad_pipeline.app")  # its name is __main__ when it is called

HOST = "127.0.0.1"
PORT = 7860
MAX_BYTES = 20_000_000
PAGE = Path(__file__).with_name("page")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def create_app(model: RegisteredModel, max_bytes: int = MAX_BYTES) -> FastAPI:
    """The page, and what it asks, each with a file's bytes.

    ``POST /predict`` answers as the pyfunc does. ``POST /explain?label=good`` gives a PNG of what speaks for a class
    (Grad-CAM), or 404 where that cannot be told.

    Args:
        model: Who answers.
        max_bytes: Largest file that is read; a larger one gets 413 and its reason.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    turn = asyncio.Lock()  # one image at a time: the network has all cores as it is
    explainer = _explainer(model)

    @app.middleware("http")
    async def harden(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        refused = PlainTextResponse("This server answers its own page, not those of other sites.\n", 403)
        response = refused if _is_foreign(request) else await call_next(request)
        response.headers.update(HEADERS)
        return response

    @app.get("/model")
    async def describe() -> dict[str, Any]:
        return {"name": model.name, "version": model.version, "class_names": model.class_names}

    @app.post("/predict")
    async def predict(request: Request) -> JSONResponse:
        data = await _read(request, max_bytes)
        if data is None:
            detail = f"more than the {max_bytes:,} bytes that this page takes"
            return JSONResponse(_refusal("unreadable", detail), 413)
        async with turn:
            answers = await asyncio.to_thread(model.classifier.classify, [data])
        (answer,) = answers.to_dict("records")
        return JSONResponse(answer)

    @app.post("/explain")
    async def explain(request: Request, label: str) -> Response:
        data = await _read(request, max_bytes)
        if data is None or explainer is None:
            return Response(status_code=413 if data is None else 404)
        async with turn:
            png = await asyncio.to_thread(explainer.explain, data, label)
        return Response(png, 404 if png is None else 200, media_type="image/png")

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


def _is_foreign(request: Request) -> bool:
    """Whether a browser says that a page from elsewhere asks; a link to the page may stand anywhere."""
    headers = request.headers
    if "origin" in headers:
        return headers["origin"] != f"http://{headers.get('host')}"
    followed = request.method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not followed


def _explainer(model: RegisteredModel) -> FileExplainer | None:
    try:
        return FileExplainer(model.classifier)
    except ValueError:
        logger.warning("%s version %s has no layers to explain it by", model.name, model.version)
        return None


def _refusal(reason: str, detail: str) -> dict[str, Any]:
    names = ("label", "probability", "probabilities")
    return dict.fromkeys(names) | {"abstained": False, "reason": reason, "detail": detail}


async def _read(request: Request, max_bytes: int) -> bytes | None:
    """Read the body; None once it is larger than is allowed, whatever its headers claim."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > max_bytes:
            return None
    return bytes(data)


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the model from the project's store and serve the page until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m goodbad_pipeline.app", description=main.__doc__)
    parser.add_argument("--version", default="champion", help="alias or number of the registered model")
    parser.add_argument("--port", type=int, default=PORT)
    chosen = parser.parse_args(arguments)
    try:
        model = find_model(_open_store(), chosen.version)
    except InputError as error:
        parser.exit(1, f"Error: {error}\n")
    logger.info("%s version %s: http://%s:%d", model.name, model.version, HOST, chosen.port)
    uvicorn.run(create_app(model), host=HOST, port=chosen.port, log_level="warning")


def _open_store() -> str:
    """Point MLflow at the project's store, as ``kedro run`` does; return the registered model's name."""
    from kedro.framework.session import KedroSession  # noqa: PLC0415 - reads the project's settings
    from kedro.framework.startup import bootstrap_project  # noqa: PLC0415
    from kedro.utils import find_kedro_project  # noqa: PLC0415

    project = find_kedro_project(Path.cwd())
    if project is None:
        raise InputError(f"project: run this inside the project's folder, got '{Path.cwd()}'")
    bootstrap_project(Path(project))
    session: Any = KedroSession.create(project)
    with session:
        return str(session.load_context().config_loader["parameters"]["registry"]["name"])


if __name__ == "__main__":
    main()
