"""Every upscaler has one face: shapes, dtypes, independence of chunks, refusals, and a light import."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from cogexp.spec import UpscalerSpec
from cogexp.upscale import UpscaleError, load_upscaler
from tests.upscale.pictures import photograph

SPECS = {
    "none": UpscalerSpec(name="none", scale=1),
    "bicubic": UpscalerSpec(name="bicubic", scale=2),
    "lanczos": UpscalerSpec(name="lanczos", scale=4),
    "blended bicubic": UpscalerSpec(name="bicubic", scale=4, blend=0.5),
    "esrgan": UpscalerSpec(name="esrgan", scale=4),
    "esrgan at 2": UpscalerSpec(name="esrgan", scale=2),
    "esrgan, blended and tiled": UpscalerSpec(name="esrgan", scale=4, blend=0.3, tile_px=32),
}


@pytest.mark.parametrize("name", SPECS)
def test_frames_do_not_depend_on_how_the_clip_is_cut(name: str) -> None:
    spec = SPECS[name]
    upscale = load_upscaler(spec, "cpu")
    frame = photograph(60, 70)
    clip = np.stack([np.roll(frame, shift, axis=1) for shift in (0, 3, 9, 20, 31)])
    whole = upscale(clip)
    assert whole.dtype == np.uint8
    assert whole.shape == (5, 60 * spec.scale, 70 * spec.scale, 3)
    assert upscale.scale == spec.scale
    singly = np.concatenate(list(upscale.stream(iter(clip[:, None]))))
    unevenly = np.concatenate(list(upscale.stream([clip[:2], clip[2:2], clip[2:]])))
    np.testing.assert_array_equal(singly, whole)
    np.testing.assert_array_equal(unevenly, whole)
    np.testing.assert_array_equal(load_upscaler(spec, "cpu")(clip[3:4]), whole[3:4])


def test_none_passes_frames_untouched() -> None:
    clip = photograph(16, 16)[None]
    upscale = load_upscaler(UpscalerSpec(name="none", scale=4), "cpu")
    assert upscale(clip) is clip
    assert (upscale.scale, upscale.licence) == (1, None)


def test_only_uint8_clips_are_taken() -> None:
    upscale = load_upscaler(UpscalerSpec(name="lanczos"), "cpu")
    for frames in (np.zeros((2, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8), np.zeros((2, 8, 8, 4), np.uint8)):
        with pytest.raises(UpscaleError, match=r"expected uint8 frames \(t, h, w, 3\), got"):
            upscale(frames)


def test_descriptions_tell_what_was_done() -> None:
    described = {name: load_upscaler(spec, "cpu").description for name, spec in SPECS.items()}
    assert described["none"] == "native frames"
    assert described["blended bicubic"] == "bicubic x4, 50 % Lanczos"
    assert described["esrgan"].startswith("realesr-animevideov3 x4 (")
    assert "x4 averaged to x2" in described["esrgan at 2"]
    assert described["esrgan, blended and tiled"].endswith(", 30 % Lanczos")


def test_the_weights_licence_travels_along() -> None:
    licence = load_upscaler(UpscalerSpec(name="esrgan"), "cpu").licence
    assert licence is not None
    assert "Copyright (c) 2021, Xintao Wang" in licence
    assert "Redistributions in binary form must reproduce" in licence
    assert load_upscaler(UpscalerSpec(name="lanczos"), "cpu").licence is None


def test_importing_and_interpolating_load_no_torch() -> None:
    program = (
        "import sys; from cogexp.spec import UpscalerSpec; from cogexp.upscale import load_upscaler; "
        "load_upscaler(UpscalerSpec(name='lanczos'), 'cpu'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
