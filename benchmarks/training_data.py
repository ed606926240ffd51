"""What the measurements of training share: pixels as a transformed split, and the machine in words."""

import os
import platform
from datetime import date
from pathlib import Path

import numpy as np
import tensorflow as tf

from trainer_module import data
from transform import features
from transform.config import TransformConfig


def write_split(path: Path, pixels: np.ndarray, labels: np.ndarray, classes: int) -> data.Split:
    """Writes uint8 [images, height, width, channels] and their class indices as Transform would."""
    options = tf.io.TFRecordOptions(compression_type="GZIP")
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for image, label in zip(pixels, labels, strict=True):
            example = tf.train.Example()
            example.features.feature[features.PIXELS].bytes_list.value.append(image.tobytes())
            example.features.feature[features.CLASS_INDEX].int64_list.value.append(int(label))
            writer.write(example.SerializeToString())
    height, width, channels = pixels.shape[1:]
    transform = TransformConfig(height=height, width=width, channels=channels)
    return data.open_split([str(path)], transform, classes)


def machine() -> str:
    """Processor, cores, TensorFlow and date."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return f"{model}, {os.cpu_count()} cores, TensorFlow {tf.__version__}, {date.today():%B %Y}"
