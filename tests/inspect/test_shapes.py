"""Every row against the written tables, sums against the catalog, FLOPs against torch's counter."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cogexp import catalog
from cogexp.build import build
from cogexp.inspect import PARTS, Row, shapes
from cogexp.inspect.modules import build_meta
from cogexp.inspect.row import of_part, parameters, tflops
from cogexp.inspect.shapes import passes, tokens
from cogexp.inspect.trace import Stop, trace
from cogexp.spec import RunSpec
from tests.inspect import written_out
from tests.inspect.written_out import lines, resized

PUBLIC = [name for name, variant in catalog.VARIANTS.items() if not variant.embedded]

# What stands in the 720x480 tables -> the same at another size: sides, patch grid, token counts.
SIZES = {
    (512, 288): {
        "480 720": "288 512",
        "240 360": "144 256",
        "120 180": "72 128",
        "60 90": "36 64",
        "13 30 45": "13 18 32",
        "17550": "7488",
        "17776": "7714",
    },
    (768, 432): {
        "480 720": "432 768",
        "240 360": "216 384",
        "120 180": "108 192",
        "60 90": "54 96",
        "13 30 45": "13 27 48",
        "17550": "16848",
        "17776": "17074",
    },
    (1360, 768): {
        "480 720": "768 1360",
        "240 360": "384 680",
        "120 180": "192 340",
        "60 90": "96 170",
        "13 30 45": "13 48 85",
        "17550": "53040",
        "17776": "53266",
    },
}
# The same for the transformer of 1.5, whose table is written at 1360x768.
SIZES_1_5 = {
    (1360, 768): {},
    (512, 288): {"96 170": "36 64", "11 48 85": "11 18 32", "44880": "6336", "45106": "6562"},
    (720, 480): {"96 170": "60 90", "11 48 85": "11 30 45", "44880": "14850", "45106": "15076"},
    (768, 432): {"96 170": "54 96", "11 48 85": "11 27 48", "44880": "14256", "45106": "14482"},
}


def spec_of(model: str, width: int, height: int, **resolution: int) -> RunSpec:
    config: dict[str, Any] = {
        "model": {"name": model},
        "prompt": {"text": "two wolves"},
        "resolution": {"width": width, "height": height, **resolution},
    }
    return build(config, needs_first_frame=False).spec


@functools.cache
def table(model: str, width: int, height: int) -> list[Row]:
    return shapes(spec_of(model, width, height))


def plain(rows: list[Row], part: str) -> list[written_out.Line]:
    return [(row.stage, row.input, row.output, row.parameters) for row in of_part(rows, part)]


@pytest.mark.parametrize("model", ["cogvideox-5b", "cogvideox-2b"])
def test_every_row_at_720x480(model: str) -> None:
    rows = table(model, 720, 480)
    assert plain(rows, "text_encoder") == lines(written_out.TEXT)
    assert plain(rows, "vae_encoder") == lines(written_out.ENCODER_720x480)
    assert plain(rows, "transformer") == lines(written_out.TRANSFORMER[model])
    assert plain(rows, "vae_decoder") == lines(written_out.DECODER_720x480)


@pytest.mark.parametrize(
    ("model", "size"),
    [("cogvideox-5b", (512, 288))]
    + [
        pytest.param(model, size, marks=pytest.mark.slow)
        for model, size in (
            ("cogvideox-2b", (512, 288)),
            ("cogvideox-5b", (768, 432)),
            ("cogvideox-2b", (768, 432)),
            ("cogvideox-5b", (1360, 768)),
            ("cogvideox-2b", (1360, 768)),
        )
    ],
)
def test_every_row_at_other_sizes(model: str, size: tuple[int, int]) -> None:
    rows, sides = table(model, *size), SIZES[size]
    assert plain(rows, "text_encoder") == lines(written_out.TEXT)
    assert plain(rows, "vae_encoder") == lines(resized(written_out.ENCODER_720x480, sides))
    assert plain(rows, "transformer") == lines(resized(written_out.TRANSFORMER[model], sides))
    assert plain(rows, "vae_decoder") == lines(resized(written_out.DECODER_720x480, sides))


@pytest.mark.parametrize(
    "size",
    [
        (1360, 768),
        *(pytest.param(size, marks=pytest.mark.slow) for size in ((512, 288), (720, 480), (768, 432))),
    ],
)
def test_every_row_of_1_5(size: tuple[int, int]) -> None:
    longer = {"49": "81", "25": "41", "13": "21"}
    written, sides = (
        resized(written_out.TRANSFORMER["cogvideox-1.5-5b"], SIZES_1_5[size]),
        SIZES.get(size, {}),
    )
    rows = table("cogvideox-1.5-5b", *size)
    assert plain(rows, "text_encoder") == lines(written_out.TEXT)
    assert plain(rows, "transformer") == lines(written)
    encoder, decoder = (
        lines(resized(resized(native, sides), longer))
        for native in (written_out.ENCODER_720x480, written_out.DECODER_720x480)
    )
    # 22 latent frames are denoised, the first of them is padding.
    stage, (batch, frames, *rest), after, count = decoder[0]
    assert frames == 21
    decoder[0] = (stage, (batch, 22, *rest), after, count)
    assert plain(rows, "vae_encoder") == encoder
    assert plain(rows, "vae_decoder") == decoder


@pytest.mark.parametrize("model", PUBLIC)
def test_parameters_add_up_to_the_catalogs(model: str) -> None:
    variant = catalog.VARIANTS[model]
    rows = table(model, *variant.native)
    assert parameters(of_part(rows, "text_encoder")) == catalog.TEXT_ENCODER_PARAMETERS == 4_762_310_656
    assert parameters(of_part(rows, "transformer")) == variant.transformer_parameters
    assert parameters([*of_part(rows, "vae_encoder"), *of_part(rows, "vae_decoder")]) == 215_583_907
    for part in PARTS:
        assert sum(row.flops_share for row in of_part(rows, part)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("model", "size", "expected"),
    [
        ("cogvideox-5b", (512, 288), 7_714),
        ("cogvideox-5b", (720, 480), 17_776),
        ("cogvideox-1.5-5b", (1360, 768), 45_106),
        ("nano", (512, 288), 48 + 3 * 18 * 32),
    ],
)
def test_tokens(model: str, size: tuple[int, int], expected: int) -> None:
    assert sum(tokens(table(model, *size))) == expected


def test_image_to_video_has_the_first_frame_beside_the_noise() -> None:
    rows = {row.stage: row for row in of_part(table("cogvideox-5b-i2v", 720, 480), "transformer")}
    assert rows["latent"].input == (1, 13, 16, 60, 90)
    assert rows["latent"].output == (1, 13, 32, 60, 90)
    assert rows["patches, flattened"].output == (1, 17550, 128)
    assert rows["unpatchify"].output == (1, 13, 16, 60, 90)
    newer = {row.stage: row for row in of_part(table("cogvideox-1.5-5b-i2v", 1360, 768), "transformer")}
    assert newer["patches, flattened"].output == (1, 44880, 256)
    assert newer["ofs embedding"].output == (1, 512)


def test_the_text_says_where_it_differs_from_the_classic_picture() -> None:
    notes = {row.stage: row.note for row in of_part(table("cogvideox-5b", 720, 480), "text_encoder")}
    assert "226 SentencePiece" in notes["tokens"]
    assert "77 BPE" in notes["tokens"]
    assert "relative" not in notes["tokens"]
    assert "no position embedding" in notes["relative position bias"]


def test_groups_of_frames_are_said() -> None:
    notes = {(row.part, row.stage): row.note for row in table("cogvideox-5b", 720, 480)}
    assert "groups of frames: 9 + 5x8" in notes["vae_encoder", "frames"]
    assert "groups of latent frames: 3 + 5x2" in notes["vae_decoder", "latent"]
    assert "3 + 5x2 become 5 + 5x4" in notes["vae_decoder", "up block 0: upsample"]
    assert "5 + 5x4 become 9 + 5x8" in notes["vae_decoder", "up block 1: upsample"]


def test_a_size_at_which_the_untiled_decode_fails_still_has_its_shapes() -> None:
    spec = spec_of("cogvideox-2b", 1920, 1088, frames=9)
    vae = build_meta("vae", spec)
    with torch.no_grad(), pytest.raises(RuntimeError, match="Kernel size"):
        vae.decode(torch.empty(1, 16, 3, 136, 240, device="meta"))
    rows = {(row.part, row.stage): row for row in shapes(spec)}
    assert "diffusers fails at this size" in rows["vae_decoder", "latent"].note
    assert "fails" not in rows["vae_encoder", "frames"].note
    assert rows["vae_decoder", "conv_out"].output == (1, 3, 9, 1088, 1920)


def test_flops_are_the_published_closed_form() -> None:
    """FLOPs a step = 2*P*N + 4*L*N^2*d at batch 1; P: the linear layers that every token passes."""
    for model, weights, layers, width in (
        ("cogvideox-5b", 4.757e9, 42, 3072),
        ("cogvideox-2b", 1.328e9, 30, 1920),
    ):
        for size, count in (((720, 480), 17_776), ((512, 288), 7_714)):
            form = (2 * weights * count + 4 * layers * count**2 * width) / 1e12
            assert tflops(of_part(table(model, *size), "transformer")) == pytest.approx(form, rel=0.002)
    assert 2 * tflops(of_part(table("cogvideox-5b", 720, 480), "transformer")) == pytest.approx(664, rel=0.01)


@pytest.mark.parametrize("frames", [1, 9, 33])
def test_flops_and_frames_equal_torchs_counter_on_the_whole_clip(frames: int) -> None:
    """The table runs two groups of frames; here the real VAE runs all of them, under torch's own counter."""
    spec = spec_of("nano", 256, 144, frames=frames)
    rows, latent = shapes(spec), (frames - 1) // 4 + 1
    vae = build_meta("vae", spec)
    with torch.no_grad():
        with FlopCounterMode(display=False) as decode:
            made = vae.decode(torch.empty(1, 16, latent, 18, 32, device="meta")).sample
        with FlopCounterMode(display=False) as encode:
            coded = vae._encode(torch.empty(1, 3, frames, 144, 256, device="meta"))
    assert sum(row.flops for row in of_part(rows, "vae_decoder")) == decode.get_total_flops()
    assert sum(row.flops for row in of_part(rows, "vae_encoder")) == encode.get_total_flops()
    assert of_part(rows, "vae_decoder")[-1].input == tuple(made.shape) == (1, 3, frames, 144, 256)
    assert of_part(rows, "vae_encoder")[-2].output == tuple(coded.shape) == (1, 32, latent, 18, 32)


def test_transformer_and_text_flops_equal_torchs_counter() -> None:
    spec = spec_of("nano", 256, 144)
    rows = shapes(spec)
    rotary = torch.empty(3 * 9 * 16, 64, device="meta")
    calls = {
        "transformer": lambda module: module(
            torch.empty(1, 3, 16, 18, 32, device="meta"),
            torch.empty(1, 48, 192, device="meta"),
            torch.empty(1, device="meta"),
            image_rotary_emb=(rotary, rotary),
        ),
        "text_encoder": lambda module: module(torch.zeros(1, 48, dtype=torch.long, device="meta")),
    }
    for part, call in calls.items():
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            call(build_meta(part, spec))
        assert sum(row.flops for row in of_part(rows, part)) == counter.get_total_flops()


def test_passes_of_a_run() -> None:
    spec = spec_of("cogvideox-5b", 512, 288)
    assert passes(spec) == {"text_encoder": 2, "vae_encoder": 0, "transformer": 100, "vae_decoder": 1}


def test_a_parameter_without_a_row_is_an_error_and_hooks_are_gone() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 4)).to("meta")
    stops = [Stop(stage="first", pattern="0"), Stop(stage="second", pattern="1")]
    with pytest.raises(RuntimeError, match=r"1\.weight belongs to no row"):
        trace(module, stops[:1], lambda: None)
    with pytest.raises(RuntimeError, match="has no 7"):
        trace(module, [Stop(stage="missing", pattern="7")], lambda: None)
    seen, total = trace(module, stops, lambda: module(torch.empty(5, 2, device="meta")))
    assert total == 2 * 5 * (2 * 3 + 3 * 4)
    assert [one.parameters for one in seen.values()] == [9, 16]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
