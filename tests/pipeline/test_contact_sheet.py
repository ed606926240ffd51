"""The sheet of augmented images."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from pipeline.console import main


@pytest.fixture
def config(tmp_path, digits_folder):
    """The digits at 8 × 8 pixels, with two changes."""
    file = tmp_path / "digits.yaml"
    file.write_text(
        f"name: digits\ndata: {{path: '{digits_folder}'}}\ntransform: {{height: 8, width: 8, channels: 1}}\n"
        "augmentation: {rotation: 30, mixup: 1.0}\n"
    )
    return file


def sheet(config, *options) -> tuple[np.ndarray, str]:
    output = config.with_suffix(".png")
    result = CliRunner().invoke(main, ["augment", "preview", str(config), "-o", str(output), *options])
    assert result.exit_code == 0, result.output
    return np.asarray(Image.open(output)), result.output


def test_sheet_has_a_column_per_change_and_a_row_per_image(config):
    pixels, told = sheet(config, "--images", "3")
    assert "rotation, mixup" in told
    side, column, row = 96, 120 + 12, 96 + 18 + 12
    assert pixels.shape == (34 + 12 + 3 * row, 12 + (1 + 2 + 4) * column, 3)

    def image(x: int, y: int) -> np.ndarray:
        return pixels[46 + y * row :, 12 + x * column :][:side, :side]

    for y in range(3):
        # The digits have dark corners and a light middle, enlarged by whole pixels.
        assert image(0, y)[::12, ::12].repeat(12, 0).repeat(12, 1).tolist() == image(0, y).tolist()
        assert (image(0, y) != image(1, y)).any(), "turned"
    assert (image(3, 0) != image(4, 0)).any(), "each step draws anew"


def test_sheet_without_augmentation_shows_the_images_and_says_so(config):
    pixels, told = sheet(config, "--set", "augmentation.rotation=0", "--set", "augmentation.mixup=0")
    assert "no augmentation is configured" in told and pixels.shape[1] == 12 + 132
