"""Names of the features in the examples, raw and transformed."""

# What ImageExampleGen writes, one tf.Example per image.
IMAGE = "image"
"""bytes: the file as it was, still encoded."""
LABEL = "label"
"""bytes: the class name, UTF-8."""
CONTENT_HASH = "sha256"
"""bytes: SHA-256 of the file, 64 hexadecimal digits; decides the split."""
PATH = "path"
"""bytes: where the file was read from."""
HEIGHT = "height"
"""int64: rows in the file's header, ≥ 1."""
WIDTH = "width"
"""int64: columns in the file's header, ≥ 1."""
CHANNELS = "channels"
"""int64: 1 (grey or palette), 2 (grey + alpha), 3 (RGB) or 4 (RGB + alpha, CMYK)."""
FORMAT = "format"
"""bytes: JPEG, PNG, GIF, BMP or WEBP."""
BIT_DEPTH = "bit_depth"
"""int64: bits per sample in the file's header, 1 … 16; of an index where there is a palette."""
ORIENTATION = "orientation"
"""int64: EXIF orientation, 1 … 8; 1 (upright) where the file says nothing."""
FILE_BYTES = "file_bytes"
"""int64: size of the encoded file in bytes."""
GROUP = "group"
"""bytes: what must stay in one split together, such as a patient; only where groups are configured."""

# Of a deterministic sample of the images, measured on at most 256 x 256 pixels.
BRIGHTNESS = "brightness"
"""float32: mean luma, 0 … 255."""
CONTRAST = "contrast"
"""float32: standard deviation of the luma, 0 … 127.5."""
SHARPNESS = "sharpness"
"""float32: standard deviation of the luma's Laplacian, ≥ 0 (Pech-Pacheco et al., 2000)."""
MEAN_RED = "mean_red"
"""float32: mean of the channel, 0 … 255."""
MEAN_GREEN = "mean_green"
"""float32: likewise."""
MEAN_BLUE = "mean_blue"
"""float32: likewise."""

HEADER_FACTS = (HEIGHT, WIDTH, CHANNELS, BIT_DEPTH, ORIENTATION, FILE_BYTES, FORMAT)
"""What every image's header says."""
PIXEL_FACTS = (BRIGHTNESS, CONTRAST, SHARPNESS, MEAN_RED, MEAN_GREEN, MEAN_BLUE)
"""What is measured on the sample."""

# What Transform writes.
PIXELS = "pixels"
"""bytes: the uint8 pixels at the target size, row-major, exactly height·width·channels bytes."""
STATUS = "status"
"""bytes: "" for a sound image, else what is wrong with it; always "" in what Transform writes."""
CLASS_INDEX = "class_index"
"""int64: position of the label in the vocabulary, ≥ 0."""
CHANNEL_MEAN = "channel_mean"
"""float32 [channels]: mean over the training split; only with `normalization: standardize`."""
CHANNEL_DEVIATION = "channel_deviation"
"""float32 [channels]: standard deviation over the training split; likewise."""

VOCABULARY = "labels"
"""The vocabulary of class names, an asset of the transform graph and of the saved model."""

SPLITS = ("train", "eval", "test")
