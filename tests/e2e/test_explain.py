"""`explain RUN`: a clip torn by VAE tiling is put down to the decoder, a clip decoded whole is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cogexp import RunSpec
from cogexp.__main__ import main
from tests.e2e.conftest import Bench

# Larger than one tile in height: 256 rows are a tile of 240 and a thin one.
TORN = ["resolution=64x256", "optimization.vae_tiling=true"]


def explained(bench: Bench, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert main(["explain", bench.one().run_id, "--json", f"outputs={bench.outputs}", "device=cpu"]) == 0
    plain: dict[str, object] = json.loads(capsys.readouterr().out)
    return plain


def test_tiling_is_put_down_to_the_decoder_with_the_rows(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.run(*TORN) == 0
    before = bench.one().artifacts["native"]
    assert before["level"] in ("suspect", "certain")
    assert (before["kind"], before["cause"]) == ("seam", "decoder")
    assert before["rows"][0] >= 200
    assert bench.one().scores["native/tear"] == before["score"]
    assert "tear" in bench.one().files
    found = explained(bench, capsys)
    assert found["cause"] == "decoder"
    rows = found["rows"]
    assert isinstance(rows, list)
    assert rows[0] >= 200, "the last tile begins at row 200"
    assert "row 200" in str(found["sentence"])
    assert Image.open(Path(str(found["picture"]))).size[0] > 600
    record = bench.one()
    assert record.artifacts["native"]["cause"] == "decoder"
    assert record.files["explain"] == "explain.png"
    assert record.status == "ok"


def test_a_clip_decoded_whole_is_not_the_decoders_fault(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.run() == 0
    assert explained(bench, capsys)["cause"] in ("unknown", "denoiser")


def test_tiles_are_not_checked_without_the_latents_and_that_is_said(bench: Bench) -> None:
    assert bench.run(*TORN, "store_gb=0") == 0
    record = bench.one()
    assert record.artifacts["native"]["cause"] == "unknown"
    assert "not checked" in record.resolved["artifacts.tiles"]


def test_without_the_latents_it_says_how_to_get_them(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.run() == 0
    shutil.rmtree(bench.outputs / "store")
    assert main(["explain", bench.one().run_id, f"outputs={bench.outputs}"]) == 1
    assert "force=true" in capsys.readouterr().err


def test_a_run_is_found_by_a_part_of_its_id_or_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "nothing-like-it", f"outputs={bench.outputs}"]) == 2
    assert "nothing-like-it" in capsys.readouterr().err
    assert main(["explain"]) == 2


def test_a_spec_comes_back_from_its_record(bench: Bench) -> None:
    assert bench.run("metrics=none") == 0
    record = bench.one()
    assert RunSpec.from_dict(record.spec).run_id == record.run_id


def test_the_runner_tells_the_detectors_where_tiles_meet() -> None:
    from cogexp import build
    from cogexp.scores import known_tiles

    def tiles(size: tuple[int, int], tiling: bool, scale: int = 1) -> tuple[tuple[int, ...], tuple[int, ...]]:
        spec = build(
            {
                "model": {"name": "nano"},
                "device": "cpu",
                "prompt": {"text": "a"},
                "resolution": {"width": size[0], "height": size[1]},
                "optimization": {"vae_tiling": tiling},
            }
        ).spec
        found = known_tiles(spec, scale)
        return found.rows, found.columns

    assert tiles((512, 288), True) == ((200,), (288,))
    assert tiles((512, 288), True, 4) == ((800,), (1152,))
    assert tiles((720, 480), True) == ((200, 400), (288, 576))
    assert tiles((512, 288), False) == ((), ())
    assert tiles((336, 240), True) == ((), ())


def test_known_tiles_are_the_vaes_own() -> None:
    from cogexp import build
    from cogexp.engine.generate import tile_lines
    from cogexp.scores import known_tiles

    for size in ((512, 288), (720, 480), (64, 256), (1360, 768)):
        spec = build(
            {
                "model": {"name": "nano"},
                "device": "cpu",
                "prompt": {"text": "a"},
                "resolution": {"width": size[0], "height": size[1]},
                "optimization": {"vae_tiling": True},
            }
        ).spec
        lines, known = tile_lines(spec, "cpu"), known_tiles(spec, 1)
        assert (lines.rows, lines.columns) == (known.rows, known.columns)
