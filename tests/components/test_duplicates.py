"""Copies and near copies among the facts of images."""

import io

import imagehash
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageEnhance

from components.image_example_gen.duplicates import copies, is_conflict, is_leak, near_indices, near_pairs, together
from components.image_example_gen.headers import parse, parse_plain_png
from components.image_example_gen.pixels import any_image, difference_hashes, measure, pixel_facts, plain_png, sharpness
from transform import features


def scene(seed: int, side: int = 96) -> Image.Image:
    """A picture with structure, as photos have it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def table(rows: list[tuple[str, str, str, bytes | None]]) -> pa.Table:
    names = (features.CONTENT_HASH, features.LABEL, "split", "perceptual_hash")
    columns = {name: [row[index] for row in rows] for index, name in enumerate(names)}
    for name in names[:2]:
        columns[name] = [value.encode() for value in columns[name]]
    return pa.table(columns | {features.PATH: [f"{index}.png".encode() for index in range(len(rows))]})


def hashed(image: Image.Image, quality: int = 90) -> bytes:
    _, luma = measure(jpeg(image, quality), statistics=False, perceptual=True)
    return difference_hashes([luma])[0]


def test_copies_are_grouped_and_judged():
    rows = [("a", "cat", "train", None), ("b", "cat", "train", None), ("a", "cat", "test", None)]
    rows += [("c", "cat", "train", None), ("c", "dog", "train", None)]
    groups = copies(table(rows))
    assert [[row[features.PATH] for row in group] for group in groups] == [[b"0.png", b"2.png"], [b"3.png", b"4.png"]]
    assert [is_leak(group) for group in groups] == [True, False]
    assert [is_conflict(group) for group in groups] == [False, True]


def test_recompressed_resized_and_brightened_images_are_near_and_others_are_not():
    original = scene(0)
    variants = [original, original.resize((60, 60)), ImageEnhance.Brightness(original).enhance(1.1)]
    rows = [(str(index), "cat", "train", hashed(image, 70)) for index, image in enumerate(variants)]
    rows += [(f"other {seed}", "cat", "train", hashed(scene(seed))) for seed in range(1, 40)]
    found = {(one[features.PATH], other[features.PATH]) for one, other, _ in near_pairs(table(rows), 10)}
    assert found == {(b"0.png", b"1.png"), (b"0.png", b"2.png"), (b"1.png", b"2.png")}


def test_flat_images_and_exact_copies_are_no_near_duplicates():
    flat = [(str(grey), "cat", "train", hashed(Image.new("RGB", (50, 50), (grey,) * 3))) for grey in (10, 120, 250)]
    copy = [("same", "cat", "train", hashed(scene(0)))] * 2
    assert near_pairs(table(flat + copy), 10) == []


@pytest.mark.parametrize("count", [513, 1100])
def test_pairs_are_those_of_a_comparison_one_by_one(count):
    chance = np.random.default_rng(1)
    bits = chance.integers(0, 2, (count, 256), np.uint8)
    for index in range(0, count - 1, 7):  # plant neighbours, some across the blocks
        other = (index * 13 + 5) % count
        bits[other] = bits[index]
        bits[other, chance.choice(256, index % 15, replace=False)] ^= 1
    rows = [(str(index), "cat", "train", np.packbits(row).tobytes()) for index, row in enumerate(bits)]
    distances = (bits[:, None] != bits[None]).sum(axis=-1) if count < 600 else None
    found = {(one[features.PATH], other[features.PATH]): bits for one, other, bits in near_pairs(table(rows), 10)}
    if distances is not None:
        expected = {
            (f"{i}.png".encode(), f"{j}.png".encode())
            for i, j in zip(*np.nonzero(np.triu(distances <= 10, 1)), strict=True)
        }
        assert set(found) == expected
    assert found and max(found.values()) <= 10


@pytest.mark.parametrize("distance", [0, 10, 20, 64])
def test_every_pair_within_the_distance_is_found(distance):
    chance = np.random.default_rng(2)
    # A third of the bits never differ, as at the edges of pictures of the same kind.
    bits = np.where(np.arange(256) % 3 == 0, 1, chance.integers(0, 2, (300, 256), np.uint8)).astype(np.uint8)
    for index in range(0, 299, 2):
        bits[index + 1] = bits[index]
        bits[index + 1, chance.choice(256, index % 70, replace=False)] ^= 1
    firsts, seconds, differing = near_indices(np.packbits(bits, axis=1).view(np.uint64), distance)
    distances = (bits[:, None] != bits[None]).sum(axis=-1)
    expected = {(i, j, distances[i, j]) for i, j in zip(*np.nonzero(np.triu(distances <= distance, 1)), strict=True)}
    assert set(zip(firsts, seconds, differing, strict=True)) == expected and expected


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA"])
@pytest.mark.parametrize("compress_level", [0, 9])
def test_shortcuts_for_png_see_what_pillow_sees(mode, compress_level):
    image = scene(3, 31).convert("L").convert(mode) if mode == "LA" else scene(3, 31).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=compress_level)
    quick = plain_png(buffer.getvalue())
    assert (quick is None) == (mode not in ("L", "RGB"))
    if quick:
        assert quick.mode == mode and quick.tobytes() == any_image(buffer.getvalue()).tobytes()
    assert parse_plain_png(buffer.getvalue()) == parse(buffer.getvalue())


def test_chains_of_near_duplicates_share_the_lowest_hash():
    rows = table([(name, "cat", "train", None) for name in "dbca"]).to_pylist()
    d, b, c, a = rows
    assert together([(d, c, 1), (c, b, 1)]) == {"d": "b", "c": "b", "b": "b"}
    assert together([(d, c, 1), (b, a, 1)]) == {"d": "c", "c": "c", "b": "a", "a": "a"}


def test_pixel_facts_follow_the_image():
    def facts(*colour: int) -> dict:
        return measure(jpeg(Image.new("RGB", (40, 40), colour)), statistics=True, perceptual=False)[0]

    dark, bright = facts(10, 20, 30), facts(250, 200, 190)
    assert dark[features.BRIGHTNESS] < 25 < 200 < bright[features.BRIGHTNESS]
    assert bright[features.MEAN_RED] > bright[features.MEAN_GREEN] > bright[features.MEAN_BLUE]
    assert dark[features.CONTRAST] < 1
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.float64)
    blurred = np.asarray(Image.fromarray(noise.astype(np.uint8)).resize((16, 16)).resize((64, 64)), np.float64)
    assert sharpness(noise) > 4 * sharpness(blurred)


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (28, 28), (256, 256)])
def test_pixel_facts_are_those_of_numpy(shape):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    luma = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    found = pixel_facts(image, luma)
    values = np.pad(luma.astype(np.float64), 1)
    around = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:] - 4 * values[1:-1, 1:-1]
    inner = around[1:-1, 1:-1]
    assert found[features.BRIGHTNESS] == pytest.approx(luma.mean())
    assert found[features.CONTRAST] == pytest.approx(luma.std())
    assert found[features.SHARPNESS] == pytest.approx(inner.std() if inner.size else 0)
    for channel, name in enumerate((features.MEAN_RED, features.MEAN_GREEN, features.MEAN_BLUE)):
        assert found[name] == pytest.approx(image[..., channel].mean())


@pytest.mark.parametrize("sizes", [[(28, 28)] * 5, [(16, 16), (17, 16), (1, 1), (256, 3)] * 3, [(200, 160), (7, 9)]])
def test_hashes_made_together_are_those_of_imagehash(sizes):
    images = [
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8))
        for seed, (width, height) in enumerate(sizes)
    ]
    expected = [np.packbits(imagehash.dhash(image, 16).hash).tobytes() for image in images]
    assert difference_hashes(images) == expected
    assert len(set(expected)) > 1


def test_16_bit_grey_keeps_its_upper_bits():
    buffer = io.BytesIO()
    Image.fromarray(np.full((20, 20), 200 << 8, np.uint16)).save(buffer, "PNG")
    assert measure(buffer.getvalue(), statistics=True, perceptual=False)[0][features.BRIGHTNESS] == 200
