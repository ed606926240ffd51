"""From the bytes of image files to pixels at the target's size, a batch at a time, whatever is in it."""

import functools
import json
from collections.abc import Callable

import tensorflow as tf

from transform import ops
from transform.config import TransformConfig, from_json, to_json
from transform.decode import RATIOS, decode, decoder
from transform.headers import GIF, JPEG, Headers, read_headers
from transform.limits import damaged, refusals

PARALLEL = 8
"""Images that are decoded at a time at most."""
PIXELS = 48_000_000
"""Stored pixels that are decoded at a time at most, three bytes each: large images take turns, however large the batch
and the machine. A single image may have more."""
MARGIN = 2.2
"""How many times the target's size a JPEG must keep when it is decoded at a reduced size. Against full decoding then
area, photographs reach a PSNR of 41 dB at 12 megapixels → 224, and 39 to 58 dB at other sizes (tests/transform)."""


def read_images(encoded: tf.Tensor, config: TransformConfig) -> tuple[tf.Tensor, tf.Tensor]:
    """The whole way of a batch: headers, limits, decoding, orientation, crops, size.

    A bad image does not disturb the others: what TensorFlow cannot decode drops out of a tf.data pipeline inside the
    graph, and its place stays black.

    Args:
      encoded: string [batch], the bytes of the files.
      config: the target and how to get there.

    Returns:
      string [batch], the uint8 pixels of [height, width, channels] as bytes, and string [batch], the status: "" for a
      sound image, else what is wrong with it, such as "is a damaged or truncated PNG".
    """
    return _reader(json.dumps(to_json(config)))(encoded)


@functools.cache
def _reader(config: str) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """`read_images`, traced once in a process: TFT traces `preprocessing_fn` nine times, and this is most of it.

    Not by `tf.function`, which has the results wait for the operations on datasets, in an order that differs from
    process to process: TFT would take the graph for another and find nothing in its cache.
    """
    settings = from_json(TransformConfig, json.loads(config))
    signature = [tf.TensorSpec([None], tf.string)]
    return tf.compat.v1.wrap_function(lambda encoded: _read_images(encoded, settings), signature)


def _read_images(encoded: tf.Tensor, config: TransformConfig) -> tuple[tf.Tensor, tf.Tensor]:
    headers = read_headers(encoded)
    refusal = refusals(encoded, headers, config)
    batch = tf.size(encoded)
    good = tf.where(tf.equal(refusal, ""))[:, 0]
    elements = {
        "index": good,
        "encoded": tf.gather(first_pictures(encoded, headers), good),
        **{name: tf.gather(fact, good) for name, fact in plan_sizes(headers, config).items()},
    }

    def read(element: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        return element["index"], ops.pack(to_pixels(element, config))

    black = ops.pack(tf.zeros([config.height, config.width, config.channels], tf.uint8))
    largest = tf.reduce_max(tf.concat([[1], elements["stored_height"] * elements["stored_width"]], axis=0))
    parallel = tf.cast(tf.clip_by_value(PIXELS // largest, 1, PARALLEL), tf.int64)
    images = tf.data.Dataset.from_tensor_slices(elements).map(read, num_parallel_calls=parallel).ignore_errors()
    # The last element is there even when every image is bad; a batch must not be empty.
    images = images.concatenate(tf.data.Dataset.from_tensors((tf.cast(batch, tf.int64), black)))
    index, packed = images.batch(tf.cast(batch, tf.int64) + 1).get_single_element()
    packed = tf.tensor_scatter_nd_update(tf.fill([batch + 1], black), index[:, tf.newaxis], packed)[:-1]
    decoded = tf.scatter_nd(index[:, tf.newaxis], tf.ones_like(index), [tf.cast(batch, tf.int64) + 1])[:-1]
    failed = tf.equal(refusal, "") & tf.equal(decoded, 0)
    return packed, tf.where(failed, damaged(headers), refusal)


def first_pictures(encoded: tf.Tensor, headers: Headers) -> tf.Tensor:
    """GIFs cut off behind their first picture and closed; other files as they are. string [batch] → string [batch]."""
    cut = tf.strings.substr(encoded, tf.zeros_like(headers.end), headers.end)
    return tf.where(headers.kind == GIF, tf.strings.join([cut, ";"]), encoded)


def plan_sizes(headers: Headers, config: TransformConfig) -> dict[str, tf.Tensor]:
    """How each image of a batch is read, from its header; int32 [batch] each.

    Returns:
      `decoder` and `components` for `decode`, and its reduction `ratio`; `stored_height` and `stored_width` of the
      whole image, `rows` and `columns` of its middle that are kept and the `height` and `width` they come to, all as
      the file stores the image; and the `orientation` that turns it in the end.
    """
    plan, target = config.plan, (config.height, config.width)
    orientation = headers.orientation if plan.orient else tf.ones_like(headers.orientation)
    rows, columns = ops.oriented_size(headers.height, headers.width, orientation)
    for crop in plan.crops:
        rows, columns = ops.cropped_size(rows, columns, crop, target)
    if plan.pad is None:
        height, width = (tf.fill(tf.shape(rows), side) for side in target)
    else:
        height, width = ops.fitted_size(rows, columns, target)
    ratio = reduction(headers.kind, rows, columns, height, width, plan.interpolation)
    rows, columns = ops.oriented_size(rows, columns, orientation)
    height, width = ops.oriented_size(height, width, orientation)
    return {
        "decoder": decoder(headers.kind, ratio),
        "components": headers.components,
        "ratio": tf.gather(RATIOS, ratio),
        "stored_height": headers.height,
        "stored_width": headers.width,
        "rows": rows,
        "columns": columns,
        "height": height,
        "width": width,
        "orientation": orientation,
    }


def reduction(
    kind: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, height: tf.Tensor, width: tf.Tensor, interpolation: str
) -> tf.Tensor:
    """Position in `RATIOS` of the strongest reduction that leaves `MARGIN` times the size; 0 for all but JPEGs.

    Only averaging may start from an average: bicubic and bilinear take single pixels of the full size.
    """
    if interpolation not in ("auto", "area"):
        return tf.zeros_like(kind)
    factor = tf.minimum(rows / tf.maximum(height, 1), columns / tf.maximum(width, 1))
    allowed = [tf.cast(factor >= ratio * MARGIN, tf.int32) for ratio in RATIOS[1:]]
    return tf.where(kind == JPEG, tf.add_n(allowed), 0)


def to_pixels(element: dict[str, tf.Tensor], config: TransformConfig) -> tf.Tensor:
    """One image as `plan_sizes` planned it → uint8 [config.height, config.width, config.channels]."""
    plan, ratio = config.plan, element["ratio"]
    rows, columns, height, width = (element[name] for name in ("rows", "columns", "height", "width"))
    image = decode(
        element["encoded"],
        element["decoder"],
        element["components"],
        channels=config.channels,
        background=plan.background,
    )
    top, left = (element["stored_height"] - rows) // 2, (element["stored_width"] - columns) // 2
    box = tf.stack([top, left, rows, columns])

    def whole() -> tf.Tensor:
        start, size = box[:2] // ratio, box[2:] // ratio
        cut = tf.slice(image, tf.pad(start, [[0, 1]]), tf.pad(size, [[0, 1]], constant_values=config.channels))
        return ops.resize(cut, height, width, plan.interpolation)

    if plan.interpolation in ("auto", "area"):
        # The edge of a reduced image may cut through its pixels; moving it to theirs would shift the picture.
        uneven = tf.reduce_any(box % ratio != 0)
        image = tf.cond(uneven, lambda: ops.area(image, box / ratio, height, width), whole)
    else:
        image = whole()
    image = ops.orient(image, element["orientation"])
    if plan.pad is not None:
        image = ops.pad(image, config.height, config.width, plan.pad)
    return tf.ensure_shape(image, [config.height, config.width, config.channels])
