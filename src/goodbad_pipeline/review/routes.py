"""The endpoints of the page on which people review labels."""

import io
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response
from PIL import Image
from pydantic import BaseModel, Field, StringConstraints

from goodbad_pipeline.images.decode import decode_image
from goodbad_pipeline.images.paths import read_inside
from goodbad_pipeline.images.rejections import Rejection
from goodbad_pipeline.review.decisions import Action, Decision
from goodbad_pipeline.review.queue import FILTERS, Desk

LARGEST = 1600  # pixels per side of an image that the page receives
LOSSLESS = 256  # images up to this many pixels per side are sent as PNG, larger ones as JPEG


class Request(BaseModel):
    """A decision of the page about one image or several images of a group."""

    action: Action
    image_ids: list[str] = Field(min_length=1)
    label: str = ""


Name = Annotated[str, StringConstraints(max_length=1000)]


def create_router(desk: Desk | None, problem: str = "", model_version: str = "") -> APIRouter:
    """Create the endpoints below ``/review``. Without a desk, ``GET /review`` returns only the ``problem``.

    ``GET /review`` describes the review. ``GET /review/next?start=0&split=train`` returns the first image from that
    position that is not decided. ``GET /review/images/<image_id>?side=800`` returns an image. ``POST
    /review/decisions`` writes decisions, and ``POST /review/undo`` removes them again. The status is 409 if another
    person has decided about the image.
    """
    router = APIRouter(prefix="/review")
    if desk is None:

        @router.get("")
        def explain() -> dict[str, str]:
            return {"missing": problem}

        return router
    queue = desk.queue
    paths = dict(zip(queue.images["image_id"], queue.images["path"], strict=True))

    @router.get("")
    def describe() -> dict[str, Any]:
        facts = {"classes": queue.classes, "filters": queue.options(), "who": desk.who, "notes": desk.notes}
        return facts | {"file": str(queue.file.path)}

    @router.get("/next")
    def find_next(start: int = 0, label: Name = "", split: Name = "", issue: Name = "") -> dict[str, Any]:
        chosen = {name: value for name, value in zip(FILTERS, (label, split, issue), strict=True) if value}
        return asdict(queue.next(start, chosen))

    @router.get("/images/{image_id}")
    def show(image_id: str, side: Annotated[int, Query(ge=16, le=LARGEST)] = LARGEST) -> Response:
        if image_id not in paths:
            return Response(status_code=404)
        return _show(desk, paths[image_id], side)

    @router.post("/decisions")
    def decide(request: Request) -> list[Decision]:
        written = queue.decide(request.action, request.image_ids, request.label, desk.who, model_version)
        if not written:
            raise HTTPException(409, f"Decided already: {queue.find_decision(request.image_ids[0])}")
        return written

    @router.post("/undo")
    def undo(decisions: list[Decision]) -> int:
        return queue.file.remove(decisions)

    return router


def _show(desk: Desk, path: str, side: int) -> Response:
    rules = desk.transform
    data = read_inside(desk.root, path).content
    if isinstance(data, Rejection):
        return Response(data.detail, 404, media_type="text/plain")
    decoded = decode_image(data, max_pixels=rules.max_pixels, background=rules.background, tiff=rules.tiff)
    if isinstance(decoded, Rejection):
        return Response(decoded.detail, 404, media_type="text/plain")
    image = Image.fromarray(decoded.pixels)
    image.thumbnail((side, side))
    stream, form = io.BytesIO(), "PNG" if max(image.size) <= LOSSLESS else "JPEG"
    image.save(stream, form, quality=90)
    return Response(stream.getvalue(), media_type=f"image/{form.lower()}", headers={"Cache-Control": "max-age=600"})
