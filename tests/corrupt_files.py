"""A folder of corrupt and unusual image files, with the expected outcome of each."""

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from factories import encoded, make_image
from PIL import Image

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
ACCEPTED = "accepted"
MAX_PIXELS = 1_000_000


def write_corrupt_files(root: Path, *, links: bool = True) -> dict[str, set[str]]:
    """Fill ``root/a`` and return the allowed outcomes by path relative to root: ``accepted`` or reasons."""
    (root / "a").mkdir(parents=True)
    expected = {}
    for name, data, outcomes in (*_good(), *_misnamed(), *_bombs(), *_cut(), *_damaged(), *_foreign(), *_names()):
        path = f"a/{name}"
        with open(os.path.join(os.fsencode(root), os.fsencode(path)), "xb") as stream:
            stream.write(data)
        expected[path] = set(outcomes.split())
    return expected | (_special(root) if links else {})


def _good() -> Iterator[tuple[str, bytes, str]]:
    image = make_image(1, bright=True)
    alpha = image.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(image.size))
    modes = {
        "JPEG": ["L", "RGB", "CMYK"],
        "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
        "GIF": ["1", "L", "P", "RGB", "RGBA"],
        "BMP": ["1", "L", "P", "RGB", "RGBA"],
        "WEBP": ["L", "RGB", "RGBA"],
        "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"],
    }
    for format, names in modes.items():
        for mode in names:
            yield f"{format}_{mode}".replace(";", ""), encoded(_as_mode(alpha, mode), format), ACCEPTED
        for side in ((1, 1), (1, 90), (90, 1)):
            yield f"{format}_{side[0]}x{side[1]}", encoded(image.resize(side), format), ACCEPTED
        frames = [image.transpose(Image.Transpose.ROTATE_90), image.convert("L").convert("RGB")]
        if format in ("PNG", "GIF", "WEBP", "TIFF"):
            yield f"{format}_frames", encoded(image, format, save_all=True, append_images=frames), ACCEPTED
    yield "JPEG_mpo", encoded(image, "MPO", save_all=True, append_images=frames), ACCEPTED
    for name, options in _jpeg_options().items():
        yield f"JPEG_{name}", encoded(image, "JPEG", **options), ACCEPTED
    for orientation in range(10):
        for format in ("JPEG", "PNG", "WEBP", "TIFF"):
            exif = Image.Exif()
            exif[0x0112] = orientation
            yield f"{format}_orientation_{orientation}", encoded(image, format, exif=exif), ACCEPTED
    yield "PNG_clear_level", encoded(image.convert("L"), "PNG", transparency=7), ACCEPTED
    yield "PNG_clear_colour", encoded(image, "PNG", transparency=(250, 250, 250)), ACCEPTED
    yield "PNG_clear_palette", encoded(image.convert("P"), "PNG", transparency=bytes(range(256))), ACCEPTED
    yield "JPEG_bad_exif", encoded(image, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), ACCEPTED
    yield "JPEG_bad_profile", encoded(image, "JPEG", icc_profile=b"no profile"), ACCEPTED
    yield "JPEG_tail", encoded(image, "JPEG") + b"\0" * 99 + b"what follows the end", ACCEPTED
    yield "PNG_tail", encoded(image, "PNG") + b"what follows the end", ACCEPTED


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode != "I;16":
        return image.convert("RGB").convert(mode) if mode in ("CMYK", "P", "1") else image.convert(mode)
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def _jpeg_options() -> dict[str, dict[str, object]]:
    return {
        "progressive": {"progressive": True},
        "444": {"subsampling": 0},
        "422": {"subsampling": 1},
        "420": {"subsampling": 2},
        "rgb": {"keep_rgb": True},
        "restarts": {"restart_marker_blocks": 1},
        "optimised": {"optimize": True},
        "worst": {"quality": 1},
        "best": {"quality": 100},
    }


def _misnamed() -> Iterator[tuple[str, bytes, str]]:
    """Yield files whose name does not match their content; the content decides."""
    for format, ending in zip(FORMATS, ("png", "jpg", "webp", "gif", "tif", "txt"), strict=True):
        yield f"{format}_as.{ending}", encoded(make_image(2, bright=True), format), ACCEPTED


def _bombs() -> Iterator[tuple[str, bytes, str]]:
    for format, data in bombs().items():
        yield f"bomb_{format}", data, "too_many_pixels"
    yield "bomb_text.png", _with_chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 10**7, 9)), ACCEPTED
    large = encoded(Image.new("1", (1001, 1000)))
    yield "just_too_large.png", large, "too_many_pixels"
    yield "just_small_enough.png", encoded(Image.new("1", (1000, 1000))), ACCEPTED


def bombs() -> dict[str, bytes]:
    """Return small files of at least 144 million pixels, for which a decoder would need gigabytes."""
    side = 20_000
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(bytes(10**7), 9)) + _chunk(b"IEND", b"")
    gif = bytearray(encoded(Image.new("P", (9, 9)), "GIF"))
    struct.pack_into("<HH", gif, 6, 65535, 65535)
    frame = gif.index(b",", 13)
    struct.pack_into("<HH", gif, frame + 5, 65535, 65535)
    webp = bytearray(encoded(Image.new("RGB", (9, 9)), "WEBP", lossless=True))
    struct.pack_into("<I", webp, 21, 16382 | 16382 << 14)
    stream = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(stream, "TIFF", compression="group4")
    jpeg = bytearray(encoded(Image.new("L", (9, 9)), "JPEG"))
    struct.pack_into(">HH", jpeg, jpeg.index(b"\xff\xc0") + 5, 65500, 65500)
    bmp = bytearray(encoded(Image.new("RGB", (9, 9)), "BMP"))
    struct.pack_into("<ii", bmp, 18, side, side)
    return {
        "PNG": png,
        "GIF": bytes(gif),
        "WEBP": bytes(webp),
        "TIFF": stream.getvalue(),
        "JPEG": bytes(jpeg),
        "BMP": bytes(bmp),
    }


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _with_chunk(kind: bytes, content: bytes) -> bytes:
    png = encoded(make_image(3, bright=True))
    return png[:33] + _chunk(kind, content) + png[33:]


def _cut() -> Iterator[tuple[str, bytes, str]]:
    image = make_image(4, bright=False)
    for format in FORMATS:
        data = encoded(image, format)
        for percent in (5, 20, 40, 60, 80, 95):
            yield f"cut_{format}_{percent}", data[: len(data) * percent // 100], "truncated corrupt"
        yield f"start_{format}", data[:12], "truncated corrupt not_an_image"
    jpeg = encoded(image, "JPEG")
    yield "cut_JPEG_end", jpeg[:-2], "truncated"
    yield "cut_PNG_end", encoded(image)[:-12], "truncated"
    yield "cut_PNG_in_the_end", encoded(image)[:-3], "truncated"


def _damaged() -> Iterator[tuple[str, bytes, str]]:
    image = make_image(5, bright=True)
    jpeg, png = encoded(image, "JPEG", quality=90), encoded(image)
    middle = jpeg.index(b"\xff\xda") + (len(jpeg) - jpeg.index(b"\xff\xda")) // 2
    for length in (8, 32, 128):
        zeros = jpeg[:middle] + bytes(length) + jpeg[middle + length :]
        yield f"zeroed_JPEG_{length}", zeros, "corrupt truncated"
    yield "hole_JPEG", jpeg[:middle] + jpeg[middle + 300 :], "corrupt truncated"
    for place in (18, 30, 60, len(png) // 2, len(png) - 20):
        yield f"flipped_PNG_{place}", png[:place] + bytes([png[place] ^ 1]) + png[place + 1 :], "corrupt truncated"
    for format in ("JPEG", "GIF", "WEBP", "TIFF"):
        data = encoded(image, format)
        yield f"shuffled_{format}", data[:16] + data[16:][::-1], "corrupt truncated"
    yield "no_pixels.gif", b"GIF89a" + bytes(7) + b";", "corrupt truncated"
    yield "no_width.png", _zero_width(png), "corrupt truncated"
    yield "float.tif", encoded(Image.new("F", (9, 9)), "TIFF"), "unsupported"
    yield "long.tif", encoded(Image.fromarray(np.full((9, 9), 10**6, np.int32)), "TIFF"), "unsupported"
    yield "lab.tif", encoded(Image.new("LAB", (9, 9)), "TIFF"), ACCEPTED


def _zero_width(png: bytes) -> bytes:
    header = b"IHDR" + bytes(4) + png[20:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def _foreign() -> Iterator[tuple[str, bytes, str]]:
    image = make_image(6, bright=True)
    for format in ("ICO", "TGA", "PCX", "SGI", "PDF", "EPS", "ICNS", "JPEG2000", "DIB", "MSP", "XBM"):
        data = encoded(image.convert("1") if format in ("MSP", "XBM") else image, format)
        yield f"foreign_{format}.jpg", data, "not_an_image"
    texts = {
        "words.jpg": b"no image at all, only words",
        "vector.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "page.gif": b"<html><img src=x></html>",
        "table.webp": b"path,label\na,b\n",
        "bm.bmp": b"BMW is a car, not a bitmap; nor is this line of text",
        "archive.png": b"PK\3\4" + bytes(99),
        "program.jpg": b"\x7fELF" + bytes(99),
        "zeros.jpg": bytes(4096),
        "noise.png": np.random.default_rng(0).bytes(4096),
        "sound.webp": b"RIFF\x24\0\0\0WAVEfmt " + bytes(40),
    }
    for name, data in texts.items():
        yield name, data, "not_an_image"
    for number, ending in enumerate(("jpg", "png", "gif", "")):
        yield f"empty_{number}.{ending}", b"", "empty"


def _names() -> Iterator[tuple[str, bytes, str]]:
    names = ["new\nline.png", "tab\t.png", "😀.png", "Ünï çødé.png", " leading.png", "trailing.png ", "quote'\".png"]
    names += ["back\\slash.png", "-dash.png", "comma,semicolon;.png", "x" * 251 + ".png", "percent%41.png", "a:b.png"]
    names += ["bytes\udcff\udc80.png", "private\U0010ffff.png", "e\u0301.png", "\u202egnp.png", "*?[x].png", "~.png"]
    for number, name in enumerate(names):
        yield name, encoded(make_image(100 + number, bright=True)), ACCEPTED


def _special(root: Path) -> dict[str, set[str]]:
    """Write links, a FIFO and a socket, but no devices, which only root can create."""
    folder, good = root / "a", encoded(make_image(7, bright=True))
    (folder / "target.png").write_bytes(good)
    (root.parent / "outside.png").write_bytes(good)
    (folder / "below" / "deep").mkdir(parents=True)
    links = {
        "inside_link.png": ("target.png", ACCEPTED),
        "outside_link.png": ("../../outside.png", "outside_root"),
        "absolute_link.png": ("/etc/hostname", "outside_root"),
        "proc_link.png": ("/proc/self/mem", "outside_root"),
        "zero_link.png": ("/dev/zero", "outside_root"),
        "broken_link.png": ("nowhere.png", "missing"),
        "self.png": ("self.png", "unreadable"),
        "loop_a.png": ("loop_b.png", "unreadable"),
        "loop_b.png": ("loop_a.png", "unreadable"),
        "below/deep/up": ("../..", "not_a_file"),
        "folder_link": ("below", "not_a_file"),
        "outside_folder": ("/etc", "outside_root"),
    }
    for name, (target, _) in links.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "fifo.png")
    with socket.socket(socket.AF_UNIX) as endpoint:
        _bind(endpoint, folder / "socket.png")
    expected = {f"a/{name}": {outcome} for name, (_, outcome) in links.items()}
    return expected | {"a/target.png": {ACCEPTED}, "a/fifo.png": {"not_a_file"}, "a/socket.png": {"not_a_file"}}


def _bind(endpoint: socket.socket, path: Path) -> None:
    """Bind by a relative name: the absolute one may exceed the limit of sockets."""
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        endpoint.bind(path.name)
    finally:
        os.chdir(here)


def mutate(data: bytes, seed: int) -> bytes:
    """Flip, overwrite, delete, repeat or truncate bytes at random."""
    rng = np.random.default_rng(seed)
    mutated = bytearray(data)
    ways: list[Callable[[int, int], object]] = [
        lambda start, length: mutated.__setitem__(start, mutated[start] ^ (1 << (length % 8))),
        lambda start, length: mutated.__setitem__(start, length % 256),
        lambda start, length: mutated.__setitem__(slice(start, start + length), rng.bytes(length)),
        lambda start, length: mutated.__setitem__(slice(start, start + length), b"\xff" * length),
        lambda start, length: mutated.__delitem__(slice(start, start + length)),
        lambda start, length: mutated.__setitem__(slice(start, start), mutated[start : start + length]),
        lambda start, length: mutated.__delitem__(slice(start, None)),
    ]
    for _ in range(rng.integers(1, 5)):
        if mutated:
            ways[rng.integers(len(ways))](int(rng.integers(len(mutated))), int(rng.integers(1, 300)))
    return bytes(mutated)
