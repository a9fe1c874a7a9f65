"""Building specs: what is automatic, what is strict, what is snapped, and identity from content."""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cogexp import catalog, choose, machine
from cogexp.attempt import config_of
from cogexp.build import build, build_downloads
from cogexp.nano import weights
from cogexp.spec import LATER_FLAGS, OptimizationSpec, ResolutionSpec, RunSpec, SpecError, digest


def config(**changes: Any) -> dict[str, Any]:
    return {"model": {"name": "nano"}, "device": "cpu", "prompt": {"text": "two wolves"}, **changes}


def test_defaults_are_the_authors_choice_for_each_variant() -> None:
    for variant in catalog.VARIANTS.values():
        if variant.image_to_video:
            continue
        spec = build(config(model={"name": variant.name})).spec
        assert (spec.resolution.width, spec.resolution.height) == variant.native
        assert spec.resolution.frames == variant.native_frames
        assert (spec.sampler.scheduler, spec.sampler.steps) == (variant.scheduler, variant.steps)
        assert spec.sampler.dynamic_cfg == variant.dynamic_cfg


def test_automatic_choices_are_told() -> None:
    resolved = build(
        config(model={"name": "cogvideox-5b"}, resolution={"width": 512, "height": 288})
    ).resolved
    assert resolved["sampler"].startswith("dpm")
    assert "720x480" in resolved["resolution"]
    assert resolved["model.dtype"] == "float32 on cpu"


@pytest.mark.parametrize(
    ("name", "width", "height", "legal"),
    [
        ("cogvideox-2b", 512, 288, True),
        ("cogvideox-5b", 1360, 768, True),
        ("cogvideox-1.5-5b", 1360, 768, True),
        ("cogvideox-1.5-5b", 768, 1360, False),
        ("cogvideox-1.5-5b", 1376, 768, False),
    ],
)
def test_sizes_that_each_variant_accepts(name: str, width: int, height: int, legal: bool) -> None:
    request = config(model={"name": name}, resolution={"width": width, "height": height})
    if legal:
        assert build(request).spec.resolution.name == f"{width}x{height}"
    else:
        with pytest.raises(SpecError, match=r"resolution must be at most 1360x768"):
            build(request)


def test_image_to_video_takes_its_native_size_only_and_an_image(tmp_path: Path) -> None:
    image = tmp_path / "first.png"
    Image.new("RGB", (6, 4)).save(image)
    prompt = {"text": "a wolf", "image": str(image)}
    spec = build(config(model={"name": "cogvideox-5b-i2v"}, prompt=prompt)).spec
    assert spec.resolution.name == "720x480"
    with pytest.raises(SpecError, match="must be 720x480"):
        build(
            config(
                model={"name": "cogvideox-5b-i2v"}, prompt=prompt, resolution={"width": 512, "height": 288}
            )
        )


def test_a_picture_that_cannot_be_read_is_refused_before_any_model_is_loaded(tmp_path: Path) -> None:
    image = tmp_path / "first.png"
    for content, reason in (
        (b"not a picture", "it is no PNG, JPEG, WebP or BMP picture"),
        (png_of(60_000), "above 67108864 pixels|more than 67108864 pixels"),
        (png_of(64), "it is damaged or cut off"),
    ):
        image.write_bytes(content)
        with pytest.raises(SpecError, match=f"prompt.image must be a picture that can be read, .*{reason}"):
            build(config(model={"name": "cogvideox-5b-i2v"}, prompt={"text": "a wolf", "image": str(image)}))


def png_of(side: int) -> bytes:
    """The beginning of a PNG whose header claims a square picture."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(99))
    chunks = b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data)
    )
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_a_users_file_counts_by_content_not_by_place(tmp_path: Path) -> None:
    def run_id(name: str, colour: str) -> str:
        file = tmp_path / name
        Image.new("RGB", (6, 4), colour).save(file)
        return build(
            config(model={"name": "cogvideox-5b-i2v"}, prompt={"text": "a wolf", "image": str(file)})
        ).spec.run_id

    assert run_id("a.png", "red") == run_id("b.png", "red")
    assert run_id("a.png", "red") != run_id("c.png", "blue")


def test_strict_false_snaps_and_says_so() -> None:
    request = build(config(strict=False, resolution={"width": 500, "height": 290, "frames": 12}))
    assert (request.spec.resolution.width, request.spec.resolution.height) == (496, 288)
    assert request.spec.resolution.frames == 9
    assert "snapped from 500x290 to 496x288" in request.resolved["resolution"]
    assert "snapped from 12 to 9" in request.resolved["resolution.frames"]


@settings(deadline=None)  # the first build of the embedded model loads its tokenizer
@given(width=st.integers(1, 5000), height=st.integers(1, 5000), frames=st.integers(1, 1000))
def test_snapping_always_gives_what_strict_accepts(width: int, height: int, frames: int) -> None:
    for name in ("nano", "cogvideox-5b", "cogvideox-1.5-5b"):
        size = {"width": width, "height": height, "frames": frames}
        snapped = build(config(model={"name": name}, strict=False, resolution=size)).spec.resolution
        kept = {"width": snapped.width, "height": snapped.height, "frames": snapped.frames}
        assert build(config(model={"name": name}, resolution=kept)).spec.resolution == snapped


def test_run_id_is_content() -> None:
    spec = build(config()).spec
    assert spec.run_id == build(config()).spec.run_id
    assert spec.run_id.startswith("nano-512x288-none-s0-")
    for changed in (
        dataclasses.replace(spec, seed=1),
        dataclasses.replace(spec, sampler=dataclasses.replace(spec.sampler, steps=21)),
        dataclasses.replace(spec, prompt=dataclasses.replace(spec.prompt, text="three wolves")),
        dataclasses.replace(spec, resolution=ResolutionSpec(width=512, height=288, frames=17, fps=8)),
    ):
        assert changed.run_id != spec.run_id
    assert json.loads(json.dumps(spec.to_dict())) == spec.to_dict()


def test_a_flag_that_came_later_leaves_earlier_runs_their_names() -> None:
    """The id of this setting, and its store keys, are those of the version before the flags were added."""
    spec = build(config(optimization={"lean_vae": False})).spec
    plain = spec.to_dict()
    for flag in LATER_FLAGS:
        del plain["optimization"][flag]
    before = digest(plain)[:8]
    assert spec.content_hash == before
    assert RunSpec.from_dict(plain).run_id == spec.run_id
    edge = dataclasses.replace(spec, optimization=OptimizationSpec(vae_tiling="edge"))
    lean = dataclasses.replace(spec, optimization=OptimizationSpec(lean_vae=True))
    assert len({spec.run_id, edge.run_id, lean.run_id}) == 3


def test_the_lean_decoder_is_on_for_the_embedded_model_and_asked_for_elsewhere() -> None:
    """`auto`, also when nothing is said: it is exact and saves time on a CPU."""
    for said in ({}, {"optimization": {"lean_vae": "auto"}}):
        assert build(config(**said)).spec.optimization.lean_vae is True
        public = config(model={"name": "cogvideox-5b"}, device="cuda", **said)
        assert build(public).spec.optimization.lean_vae is False
    assert build(config(optimization={"lean_vae": False})).spec.optimization.lean_vae is False


def test_a_flag_takes_only_what_it_is() -> None:
    assert build(config(optimization={"vae_tiling": "edge"})).spec.optimization.vae_tiling == "edge"
    for wrong, said in (
        ({"vae_tiling": "ege"}, "nearest: edge"),
        ({"vae_tiling": 1}, "true, false or edge"),
        ({"lean_vae": "yes"}, "nearest: true"),
        ({"offload": True}, "must be a text"),
    ):
        with pytest.raises(SpecError, match=said):
            build(config(optimization=wrong))
    with pytest.raises(SpecError, match="fuse_qkv"):
        OptimizationSpec(fuse_qkv=1)  # type: ignore[arg-type]


def test_tracking_device_and_paths_do_not_change_the_identity() -> None:
    around = {
        "tracking": {"mode": "online"},
        "outputs": "elsewhere",
        "study": "s",
        "force": True,
        "store_gb": 1,
    }
    assert build(config(**around)).spec.run_id == build(config()).spec.run_id


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Any:
    def insert(total_gib: float, here: tuple[str, ...]) -> None:
        monkeypatch.setattr(machine, "gpu", lambda: machine.Gpu(name="Test card", total_gib=total_gib))
        monkeypatch.setattr(machine, "checkpoint_is_here", lambda hub_id: hub_id in here)

    return insert


def test_model_auto_without_a_gpu_is_nano(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpu", lambda: None)
    request = build(config(model={"name": "auto"}, device="auto"))
    assert request.spec.model.name == "nano"
    assert "no CUDA device" in request.resolved["model"]


def test_model_auto_takes_the_best_that_fits_and_is_here(card: Any) -> None:
    size = {"width": 512, "height": 288}
    card(80, ("THUDM/CogVideoX-2b", "THUDM/CogVideoX-5b"))
    assert choose.choose_model(**size, frames=0, weights="pretrained", device="cuda")[0] == "cogvideox-5b"
    card(24, ("THUDM/CogVideoX-2b", "THUDM/CogVideoX-5b"))
    assert choose.choose_model(**size, frames=0, weights="pretrained", device="cuda")[0] == "cogvideox-2b"
    card(80, ())
    name, why = choose.choose_model(**size, frames=0, weights="pretrained", device="cuda")
    assert name == "nano"
    assert "fetch model=cogvideox-5b" in why


def test_the_embedded_model_cannot_be_pointed_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"model\.path"):
        build(config(model={"name": "nano", "path": str(tmp_path)}))


def test_a_checkpoint_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    spec = build(config(model={"name": "cogvideox-5b", "path": str(tmp_path)})).spec
    assert spec.model.source == str(tmp_path)


def test_fetch_needs_no_first_frame() -> None:
    model, metrics, _ = build_downloads(config(model={"name": "cogvideox-5b-i2v"}, metrics={"names": "fast"}))
    assert model.source == "THUDM/CogVideoX-5b-I2V"
    assert "tear" in metrics.names


def test_the_weak_model_is_the_embedded_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    weak = {"nano": {"undertrained": True}}
    with pytest.raises(SpecError, match=r"nano.undertrained=true needs model=nano, got model=cogvideox-2b"):
        build(config(model={"name": "cogvideox-2b"}, **weak))
    monkeypatch.setattr(weights, "notice", lambda: None)
    monkeypatch.setattr(weights, "undertrained_shipped", lambda: False)
    with pytest.raises(SpecError, match=r"nano.undertrained must be false: no early denoiser is shipped"):
        build(config(**weak))
    monkeypatch.setattr(weights, "undertrained_shipped", lambda: True)
    monkeypatch.setattr(weights, "fingerprint", lambda kind: f"nano-{kind}")
    request = build(config(**weak))
    assert request.spec.model.weights == "undertrained"
    assert "bad on purpose" in request.resolved["model.weights"]
    strong = build(config())
    assert strong.spec.model.weights == "pretrained"
    assert strong.spec.run_id != request.spec.run_id
    plain = {key: value for key, value in config_of(request.spec).items() if key != "hydra"}
    assert build(plain | {"device": "cpu"}).spec == request.spec, "its own config.yaml builds it again"


def test_random_weights_of_the_embedded_model_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "notice", lambda: None)
    monkeypatch.setattr(weights, "fingerprint", lambda kind: f"nano-{kind}")
    request = build(config(model={"name": "nano", "weights": "random"}))
    assert request.spec.model.revision == "nano-random"
    assert "without its training" in request.resolved["model.weights"]
    with pytest.raises(
        SpecError, match=r"model.weights must be one of pretrained, random, got 'undertrained'"
    ):
        build(config(model={"name": "cogvideox-2b", "weights": "undertrained"}))


@pytest.mark.parametrize(
    ("value", "fps"), [(24, 24), (24.0, 24), (23.976, 23.976), ("30000/1001", 30000 / 1001), ("48/2", 24)]
)
def test_rates_are_numbers_or_ratios(value: object, fps: float) -> None:
    spec = build(config(resolution={"fps": value})).spec
    assert spec.resolution.fps == fps
    assert isinstance(spec.resolution.fps, type(fps))
    assert RunSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize("value", ["fast", "30/0", "-1/2", True, 0.5, 1000, float("nan"), float("inf"), None])
def test_what_is_no_rate_is_refused(value: object) -> None:
    with pytest.raises(SpecError, match=r"resolution\.fps must be .*nearest"):
        build(config(resolution={"fps": value}))
