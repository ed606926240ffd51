"""Image operations, each a pure function of tensors that traces into the graph."""

import tensorflow as tf

from transform.config import TransformConfig


def decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes one JPEG, PNG, BMP or GIF (its first frame).

    Args:
      encoded: string scalar, the bytes of the file.
      channels: 1 or 3; alpha is dropped and 16-bit samples keep their upper 8 bits.

    Returns:
      uint8 [height, width, channels], 0 … 255.

    Raises:
      tf.errors.InvalidArgumentError: when the graph runs on bytes that are no such image.
    """

    def coloured() -> tf.Tensor:
        return tf.io.decode_image(encoded, channels=3, expand_animations=False)

    def grey() -> tf.Tensor:
        return tf.io.decode_image(encoded, channels=1, expand_animations=False)

    if channels == 3:
        image = coloured()
    else:
        # TensorFlow decodes BMP and GIF to colour only.
        colour_only = tf.strings.regex_full_match(tf.strings.substr(encoded, 0, 4), r"(?s)(BM..|GIF8)")
        image = tf.cond(colour_only, lambda: luma(coloured()), grey)
    image.set_shape([None, None, channels])
    return image


def luma(image: tf.Tensor) -> tf.Tensor:
    """RGB → grey by ITU-R BT.601, rounded. uint8 [..., 3] → uint8 [..., 1]."""
    weights = tf.constant([[0.299], [0.587], [0.114]])
    return tf.cast(tf.round(tf.tensordot(tf.cast(image, tf.float32), weights, 1)), tf.uint8)


def pad_to_aspect(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Adds black bars, the image in the middle, until its aspect ratio is height : width. [h, w, c] → [h', w', c]."""
    rows, columns = tf.shape(image)[0], tf.shape(image)[1]
    new_rows = tf.maximum(rows, (columns * height + width - 1) // width)
    new_columns = tf.maximum(columns, (rows * width + height - 1) // height)
    return tf.image.pad_to_bounding_box(
        image, (new_rows - rows) // 2, (new_columns - columns) // 2, new_rows, new_columns
    )


def crop_to_aspect(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Cuts the middle out, as large as the aspect ratio height : width allows. [h, w, c] → [h', w', c]."""
    rows, columns = tf.shape(image)[0], tf.shape(image)[1]
    new_rows = tf.clip_by_value(columns * height // width, 1, rows)
    new_columns = tf.clip_by_value(rows * width // height, 1, columns)
    return tf.image.crop_to_bounding_box(
        image, (rows - new_rows) // 2, (columns - new_columns) // 2, new_rows, new_columns
    )


def resize(image: tf.Tensor, height: int, width: int, method: str) -> tf.Tensor:
    """Resizes one image.

    Args:
      image: uint8 [h, w, c].
      height: rows of the result.
      width: columns of the result.
      method: "area", "bicubic", "bilinear", or "auto": area when both sides shrink, otherwise bicubic
        (handbook, part 10, "Data Preprocessing Pipeline").

    Returns:
      uint8 [height, width, c], rounded and clipped to 0 … 255; the image itself when the size already fits.
    """

    def by(chosen: str) -> tf.Tensor:
        resized = tf.image.resize(image, (height, width), method=chosen)
        return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)

    def interpolated() -> tf.Tensor:
        if method != "auto":
            return by(method)
        shrinks = (tf.shape(image)[0] >= height) & (tf.shape(image)[1] >= width)
        return tf.cond(shrinks, lambda: by("area"), lambda: by("bicubic"))

    fits = (tf.shape(image)[0] == height) & (tf.shape(image)[1] == width)
    resized = tf.cond(fits, lambda: image, interpolated)
    resized.set_shape([height, width, image.shape[-1]])
    return resized


def to_pixels(encoded: tf.Tensor, config: TransformConfig) -> tf.Tensor:
    """The whole way of one image: decode, meet the aspect ratio, resize.

    Args:
      encoded: string scalar, the bytes of the file.
      config: target size and how to get there.

    Returns:
      uint8 [config.height, config.width, config.channels].
    """
    image = decode(encoded, config.channels)
    if config.fit == "pad":
        image = pad_to_aspect(image, config.height, config.width)
    elif config.fit == "crop":
        image = crop_to_aspect(image, config.height, config.width)
    return resize(image, config.height, config.width, config.resize)


def pack(pixels: tf.Tensor) -> tf.Tensor:
    """uint8 [h, w, c] → string scalar of exactly h·w·c bytes: no cheaper form fits into a tf.Example."""
    # The raw bytes are the last field of the serialized TensorProto.
    size = pixels.shape.num_elements()
    return tf.strings.substr(tf.io.serialize_tensor(pixels), -size, size)


def unpack(packed: tf.Tensor, config: TransformConfig) -> tf.Tensor:
    """The inverse of `pack` for a batch: string [batch] → uint8 [batch, height, width, channels]."""
    flat = tf.io.decode_raw(packed, tf.uint8)
    return tf.reshape(flat, [-1, config.height, config.width, config.channels])
