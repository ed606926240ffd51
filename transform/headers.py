"""What the first bytes of image files say, read in the graph for a whole batch at once and before any decoding.

Sources: ITU-T T.81 annex B (JPEG), Exif 2.3 §4.6 (orientation), the PNG specification (3rd edition) §11.2.1 and
§11.3.4.5 (eXIf), the GIF89a specification, Microsoft's BITMAPINFOHEADER, and Google's WebP container and bitstream
specifications.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

JPEG, PNG, GIF, BMP, WEBP, UNKNOWN = range(6)
KINDS = ("JPEG", "PNG", "GIF", "BMP", "WebP")
"""Names by number."""

HEAD = 64
"""Bytes that hold everything but what JPEG and GIF keep further inside."""
JPEG_SEGMENTS = 1000
"""Segments before the frame header that are walked; real files have up to about a hundred."""
EXIF_ENTRIES = 64
"""Entries of the first directory that are searched for the orientation."""
CHUNKS = 10_000
"""Chunks of a PNG or WebP that are walked in search of its EXIF data; a PNG of 12 megapixels has up to about 4,000."""
GIF_BLOCKS = 20_000
"""Blocks of the first picture that are walked; 5 MB of them at the usual 255 bytes."""


class Headers(NamedTuple):
    """Facts by image; every tensor is [batch], int32 unless said otherwise."""

    kind: tf.Tensor
    """JPEG, PNG, GIF, BMP, WEBP or UNKNOWN."""
    height: tf.Tensor
    """Rows as stored, before any orientation; 0 where the header is damaged."""
    width: tf.Tensor
    """Columns, likewise."""
    orientation: tf.Tensor
    """EXIF orientation of a JPEG, PNG or WebP, 1 … 8; 1 where there is none."""
    components: tf.Tensor
    """Colour components of a JPEG, 1 … 4; 0 for other kinds."""
    unsupported: tf.Tensor
    """string: what about a sound header TensorFlow cannot decode, "" as a rule."""
    end: tf.Tensor
    """Bytes up to the end of a GIF's first picture; the size of the file for other kinds."""


def read_headers(encoded: tf.Tensor) -> Headers:
    """string [batch], the bytes of the files → their headers. Never raises, whatever the bytes."""
    head = _window(encoded, 0, HEAD)
    kind = _kind(head)
    jpeg = tf.cond(tf.reduce_any(kind == JPEG), lambda: _read_jpegs(encoded, kind), lambda: _no_jpegs(kind))
    exif = tf.maximum(jpeg[2], _find_exif(encoded, head, kind))
    orientation = tf.cond(tf.reduce_any(exif > 0), lambda: _orientations(encoded, exif), lambda: tf.ones_like(kind))
    gif = tf.cond(tf.reduce_any(kind == GIF), lambda: _read_gifs(encoded, head, kind), lambda: _no_gifs(encoded))
    png_width, png_height = _numbers(head, _big(16, 4), _big(20, 4))
    bmp_width, bmp_height = _numbers(head, _little(18, 4), _little(22, 4))
    webp_height, webp_width = _webp_size(head)
    none = tf.zeros_like(kind)
    sizes = tf.stack(
        [
            [jpeg[0], png_height, gif[0], tf.abs(bmp_height), webp_height, none],
            [jpeg[1], png_width, gif[1], bmp_width, webp_width, none],
        ]
    )
    # Negative sizes are those from 2^31 on.
    height, width = tf.unstack(tf.maximum(tf.gather(tf.transpose(sizes), kind, axis=1, batch_dims=1), 0), axis=1)
    return Headers(
        kind=kind,
        height=height,
        width=width,
        orientation=orientation,
        components=jpeg[3],
        unsupported=_unsupported(head, kind, jpeg[4]),
        end=gif[2],
    )


def _kind(head: tf.Tensor) -> tf.Tensor:
    """By magic number. int32 [batch, HEAD] → int32 [batch]."""
    two, three, four, third, fourth = _numbers(head, _big(0, 2), _big(0, 3), _big(0, 4), _big(8, 4), _big(12, 4))

    def is_(value: tf.Tensor, magic: bytes) -> tf.Tensor:
        return tf.equal(value, int.from_bytes(magic, "big", signed=len(magic) == 4))

    kind = tf.where(is_(three, b"\xff\xd8\xff"), JPEG, UNKNOWN)
    kind = tf.where(is_(four, b"\x89PNG") & is_(fourth, b"IHDR"), PNG, kind)
    kind = tf.where(is_(four, b"GIF8"), GIF, kind)
    kind = tf.where(is_(two, b"BM"), BMP, kind)
    return tf.where(is_(four, b"RIFF") & is_(third, b"WEBP"), WEBP, kind)


def _unsupported(head: tf.Tensor, kind: tf.Tensor, jpeg_precision: tf.Tensor) -> tf.Tensor:
    """Why a sound file cannot be decoded: string [batch]."""
    header, bits, compression = _numbers(head, _little(14, 4), _little(28, 2), _little(30, 4))
    letter, flags = _numbers(head, _big(15, 1), _big(20, 1))
    plain = (compression == 0) & ((bits == 8) | (bits == 24) | (bits == 32))
    masked = (compression == 3) & (bits == 32)
    bmp = (header >= 40) & (plain | masked)
    animated = (letter == ord("X")) & (flags & 2 != 0)
    reason = tf.where((kind == JPEG) & (jpeg_precision > 8), "is a JPEG of more than 8 bits per sample", "")
    reason = tf.where((kind == BMP) & ~bmp, "is a BMP other than uncompressed 8, 24 or 32 bits", reason)
    return tf.where((kind == WEBP) & animated, "is an animated WebP", reason)


def _webp_size(head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width of the three kinds of WebP: extended, lossless and lossy."""
    letter, packed = _numbers(head, _big(15, 1), _little(21, 4))
    height, width, lossy_height, lossy_width = _numbers(
        head, _little(27, 3), _little(24, 3), _little(28, 2), _little(26, 2)
    )
    extended = tf.stack([height, width]) + 1
    lossless = (tf.stack([tf.bitwise.right_shift(packed, 14), packed]) & 0x3FFF) + 1
    lossy = tf.stack([lossy_height, lossy_width]) & 0x3FFF
    sizes = tf.where(letter == ord("L"), lossless, tf.where(letter == ord(" "), lossy, 0))
    rows, columns = tf.unstack(tf.where(letter == ord("X"), extended, sizes))
    return rows, columns


def _no_jpegs(kind: tf.Tensor) -> tuple[tf.Tensor, ...]:
    none = tf.zeros_like(kind)
    return none, none, none, none, none


def _read_jpegs(encoded: tf.Tensor, kind: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Walks the segments up to the frame header.

    Returns:
      height, width, where the EXIF data begin, components and precision, int32 [batch]; zeros for other kinds.
    """
    none = tf.zeros_like(kind)

    def walk(at, active, exif, frame):  # type: ignore[no-untyped-def]
        window = _window(encoded, at, 10)
        start, marker, length, name, rest = _numbers(window, _big(0, 1), _big(1, 1), _big(2, 2), _big(4, 4), _big(8, 2))
        active &= start == 0xFF
        is_filler, is_bare = marker == 0xFF, (marker == 0x01) | (marker // 8 == 0xD0 // 8) | (marker == 0xD8)
        is_frame = (marker // 16 == 0xC) & (marker != 0xC4) & (marker != 0xC8) & (marker != 0xCC)
        is_last = (marker == 0x00) | (marker == 0xD9) | (marker == 0xDA)
        is_exif = (marker == 0xE1) & (name == int.from_bytes(b"Exif", "big")) & (rest == 0)
        exif = tf.where(active & is_exif & (exif == 0), at + 10, exif)
        frame = tf.where(active & is_frame, at, frame)
        step = tf.where(is_filler, 1, tf.where(is_bare, 2, 2 + length))
        active &= ~is_frame & ~is_last & (is_filler | is_bare | (length >= 2))
        return tf.where(active, at + step, at), active, exif, frame

    _, _, exif, frame = tf.while_loop(
        lambda at, active, exif, frame: tf.reduce_any(active),
        walk,
        (2 * tf.ones_like(kind), kind == JPEG, none, none),
        maximum_iterations=JPEG_SEGMENTS,
    )
    facts = tf.where(frame[:, tf.newaxis] > 0, _window(encoded, frame, 10), 0)
    precision, height, width, components = _numbers(facts, _big(4, 1), _big(5, 2), _big(7, 2), _big(9, 1))
    return height, width, exif, components, precision


def _find_exif(encoded: tf.Tensor, head: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """Where the EXIF data of PNGs and WebPs begin, 0 where there are none: int32 [batch]."""
    letter, flags = _numbers(head, _big(15, 1), _big(20, 1))
    webp = (kind == WEBP) & (letter == ord("X")) & (flags & 8 != 0)

    def named() -> tf.Tensor:
        """Few PNGs have EXIF data; to look for the name alone is much quicker than to walk."""
        files = tf.where(kind == PNG, encoded, "")
        without = tf.strings.regex_replace(files, "eXIf", "", replace_global=False)
        return tf.not_equal(tf.strings.length(files), tf.strings.length(without))

    png = tf.cond(tf.reduce_any(kind == PNG), named, lambda: tf.zeros_like(webp))
    return tf.cond(tf.reduce_any(webp | png), lambda: _walk_chunks(encoded, webp, png), lambda: tf.zeros_like(kind))


def _walk_chunks(encoded: tf.Tensor, webp: tf.Tensor, png: tf.Tensor) -> tf.Tensor:
    """Walks the chunks of the WebPs and PNGs up to the one with EXIF data, likewise."""
    size = tf.strings.length(encoded)

    def walk(at, active, exif):  # type: ignore[no-untyped-def]
        first, little, second = _numbers(_window(encoded, at, 8), _big(0, 4), _little(4, 4), _big(4, 4))
        # PNG: length, name, data, checksum. WebP: name, length, data up to an even number of bytes.
        name, length = tf.where(png, second, first), tf.where(png, first, little)
        wanted = tf.where(png, int.from_bytes(b"eXIf", "big"), int.from_bytes(b"EXIF", "big"))
        found = active & (name == wanted)
        step = length + tf.where(png, 12, 8 + (length & 1))
        active &= ~found & (length >= 0) & (step > 0) & (step < size - at)
        return tf.where(active, at + step, at), active, tf.where(found, at + 8, exif)

    _, _, exif = tf.while_loop(
        lambda at, active, exif: tf.reduce_any(active),
        walk,
        (tf.where(png, 8, 12), webp | png, tf.zeros_like(size)),
        maximum_iterations=CHUNKS,
    )
    # Some writers of WebP begin the data as a JPEG's do.
    four, two = _numbers(_window(encoded, exif, 6), _big(0, 4), _big(4, 2))
    prefixed = (four == int.from_bytes(b"Exif", "big")) & (two == 0)
    return exif + tf.where(prefixed & (exif > 0), 6, 0)


def _orientations(encoded: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """EXIF orientation by image: 1 … 8, and 1 where there is none. `start` is where the TIFF header begins, or 0."""
    letter, low, high = _numbers(_window(encoded, start, 8), _big(0, 1), _little(4, 4), _big(4, 4))
    little = letter == ord("I")
    offset = tf.where(little, low, high)
    offset = tf.where((offset >= 8) & (offset < 2**16), offset, 8)
    directory = _window(encoded, start + offset, 2 + 12 * EXIF_ENTRIES)
    # Every number there is, as 16 bits: the count, then six to an entry, of which the first is the tag and the fifth
    # the value of a short one.
    pairs = tf.reshape(directory, [-1, 1 + 6 * EXIF_ENTRIES, 2])
    numbers = tf.where(little[:, tf.newaxis], pairs[..., 0] + 256 * pairs[..., 1], 256 * pairs[..., 0] + pairs[..., 1])
    count, entries = numbers[:, :1], tf.reshape(numbers[:, 1:], [-1, EXIF_ENTRIES, 6])
    is_orientation = (entries[..., 0] == 0x0112) & (tf.range(EXIF_ENTRIES) < count)
    orientation = tf.reduce_max(tf.where(is_orientation, entries[..., 4], 0), axis=1)
    return tf.where((start > 0) & (orientation >= 1) & (orientation <= 8), orientation, 1)


def _no_gifs(encoded: tf.Tensor) -> tuple[tf.Tensor, ...]:
    size = tf.strings.length(encoded)
    return tf.zeros_like(size), tf.zeros_like(size), size


def _read_gifs(encoded: tf.Tensor, head: tf.Tensor, kind: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Walks the blocks up to the end of the first picture.

    TensorFlow expands every frame of an animation before it drops all but the first, so the rest must be cut off first.

    Returns:
      height and width of the canvas, or of the picture where that is larger, and the bytes up to the picture's
      end: int32 [batch]. Height and width are 0 where the end was not found.
    """
    size = tf.strings.length(encoded)
    none = tf.zeros_like(kind)
    outside, inside = 0, 1

    def table(packed: tf.Tensor) -> tf.Tensor:
        """Bytes of a colour table."""
        return tf.where(packed >= 128, 3 * tf.bitwise.left_shift(tf.ones_like(packed), (packed & 7) + 1), 0)

    def walk(at, active, place, picture, end):  # type: ignore[no-untyped-def]
        first, packed = _numbers(_window(encoded, at, 10), _big(0, 1), _big(9, 1))
        is_picture = active & (place == outside) & (first == 0x2C)
        is_extension = active & (place == outside) & (first == 0x21)
        is_data = active & (place == inside) & (at < size)
        closes = is_data & (first == 0)
        ends = closes & (picture > 0)
        step = tf.where(is_picture, 11 + table(packed), tf.where(is_extension, 2, first + 1))
        picture = tf.where(is_picture, at, picture)
        place = tf.where(is_picture | is_extension, inside, tf.where(closes, outside, place))
        end = tf.where(ends, at + 1, end)
        active = (is_picture | is_extension | is_data) & ~ends
        return tf.where(active, at + step, at), active, place, picture, end

    packed, canvas_width, canvas_height = _numbers(head, _big(10, 1), _little(6, 2), _little(8, 2))
    *_, picture, end = tf.while_loop(
        lambda at, active, *_: tf.reduce_any(active),
        walk,
        (13 + table(packed), kind == GIF, none, none, none),
        maximum_iterations=GIF_BLOCKS,
    )
    width, height = _numbers(_window(encoded, picture, 10), _little(5, 2), _little(7, 2))
    size_of_largest = tf.stack([tf.maximum(canvas_height, height), tf.maximum(canvas_width, width)])
    rows, columns = tf.unstack(tf.where(end > 0, size_of_largest, 0))
    return rows, columns, tf.where(end > 0, end, size)


def _window(encoded: tf.Tensor, start: tf.Tensor | int, size: int) -> tf.Tensor:
    """`size` bytes from `start` on, zeros behind the end of the file. string [batch] → int32 [batch, size]."""
    start = tf.minimum(start, tf.strings.length(encoded))
    part = tf.strings.substr(encoded, start, size * tf.ones_like(start))
    padded = tf.io.decode_raw(part, tf.uint8, fixed_length=size)
    return tf.ensure_shape(tf.cast(padded, tf.int32), [None, size])


class _Number(NamedTuple):
    """A number of some bytes in a window; the highest bit of four is the sign."""

    at: int
    size: int
    little: bool


def _big(at: int, size: int) -> _Number:
    """Most significant byte first."""
    return _Number(at, size, False)


def _little(at: int, size: int) -> _Number:
    """Least significant byte first."""
    return _Number(at, size, True)


def _numbers(window: tf.Tensor, *numbers: _Number) -> list[tf.Tensor]:
    """Numbers out of a window: int32 [batch, n] → int32 [batch] each. One product: tracing costs by operation."""
    weights = np.zeros((window.shape[1], len(numbers)), np.int32)
    for column, (at, size, little) in enumerate(numbers):
        powers = range(size) if little else reversed(range(size))
        weights[at : at + size, column] = [256**power for power in powers]
    return tf.unstack(tf.matmul(window, weights), axis=1)
