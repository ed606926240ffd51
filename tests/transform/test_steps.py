"""The list of steps; needs no TensorFlow."""

import pytest

from transform.config import TransformConfig
from transform.steps import Plan, read_steps


def test_every_step_and_argument_is_understood():
    plan = read_steps(["orient", "flatten(white)", "crop(0.9)", "crop", "resize(bicubic)", "pad(#ff8000)"])
    assert plan == Plan(
        orient=True,
        background=(255, 255, 255),
        crops=(0.9, "aspect"),
        interpolation="bicubic",
        pad=(255, 128, 0),
    )


def test_what_is_left_out_is_not_done():
    assert read_steps(["resize"]) == Plan()


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        (["rezise"], "'rezise' is no step; did you mean resize?"),
        (["sharpen", "resize"], "'sharpen' is no step; known: orient, flatten, crop, resize, pad"),
        (["orient"], "there is no resize"),
        (["resize", "resize"], "resize comes twice"),
        (["resize", "crop"], "crop comes after resize; put it before"),
        (["pad", "resize"], "pad fills what resize leaves free"),
        (["crop", "orient", "resize"], "orient comes after crop"),
        (["crop(1.5)", "resize"], "'1.5' is no share of the image between 0 and 1"),
        (["resize(nearest)"], "'nearest' is none of auto, area, bicubic, bilinear"),
        (["resize", "pad(pink)"], "'pink' is no colour; give black, grey, white or #rrggbb"),
        (["orient(2)", "resize"], "orient takes no argument"),
    ],
)
def test_a_mistake_is_refused_with_a_sentence_when_the_configuration_is_loaded(steps, sentence):
    with pytest.raises(ValueError) as error:
        TransformConfig(steps=steps)
    assert sentence in str(error.value)
