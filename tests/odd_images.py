"""Valid but unusual images, written sample by sample, with their expected pixels, and ways to break them."""

import itertools
import struct
import zlib
from collections.abc import Iterator

import numpy as np

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    samples: np.ndarray, colour: int, depth: int, *extra: bytes, interlaced: bool = False, stream: bytes | None = None
) -> bytes:
    """Return a PNG of samples (height, width, channels), with extra chunks; ``stream`` replaces the pixel data."""
    height, width, _ = samples.shape
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    content = zlib.compress(png_rows(samples, depth, interlaced)) if stream is None else stream
    parts = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", content), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_rows(samples: np.ndarray, depth: int, interlaced: bool = False) -> bytes:
    parts = []
    for left, top, across, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        subset = samples[top::down, left::across]
        if subset.size:
            parts += [b"\0" + _packed(row.ravel(), depth) for row in subset]
    return b"".join(parts)


def _packed(levels: np.ndarray, depth: int) -> bytes:
    bits = (levels[:, None].astype(np.int64) >> np.arange(depth)[::-1]) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def png_cases(background: tuple[int, int, int]) -> Iterator[tuple[str, bytes, np.ndarray]]:
    """Yield a name, a file and its float pixels for every depth, colour type, interlacing and transparency."""
    rng = np.random.default_rng(0)
    for colour, interlaced, clear, (height, width) in itertools.product(
        CHANNELS, (False, True), (False, True), ((5, 11), (1, 1), (9, 3))
    ):
        for depth in DEPTHS[colour]:
            if clear and colour in (4, 6):
                continue
            samples = rng.integers(0, 2**depth, (height, width, CHANNELS[colour]))
            extra, shown = _shown(samples, colour, depth, clear, np.array(background), rng)
            name = f"colour {colour}, {depth} bits, {width} × {height}, interlaced {interlaced}, clear {clear}"
            yield name, png(samples, colour, depth, *extra, interlaced=interlaced), shown


def _shown(
    samples: np.ndarray, colour: int, depth: int, clear: bool, background: np.ndarray, rng: np.random.Generator
) -> tuple[list[bytes], np.ndarray]:
    levels = samples * 255 / (2**depth - 1)
    alpha = np.ones((*samples.shape[:2], 1))
    extra = []
    if colour == 3:
        palette = rng.integers(0, 256, (2**depth, 3))
        extra = [chunk(b"PLTE", palette.astype(np.uint8).tobytes())]
        levels = palette[samples[..., 0]]
        if clear:
            alphas = rng.integers(0, 256, 2**depth)
            alpha = alphas[samples] / 255
            extra.append(chunk(b"tRNS", alphas.astype(np.uint8).tobytes()))
    elif colour in (4, 6):
        alpha, levels = levels[..., -1:] / 255, levels[..., :-1]
    elif clear:
        one = samples[-1, -1]
        extra = [chunk(b"tRNS", one.astype(">u2").tobytes())]
        alpha = (samples != one).any(axis=2, keepdims=True).astype(float)
    return extra, alpha * np.broadcast_to(levels, (*samples.shape[:2], 3)) + (1 - alpha) * background
