"""Makes docs/inspect-*.png again, from an atlas of the default prompt and a comparison:

python -m cogexp inspect activations=true outputs=OUT
python -m cogexp inspect model=cogvideox-5b resolution=512x288 against=720x480 outputs=OUT
python docs/inspect_pictures.py OUT/inspect
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
ATLAS = {
    "inspect-words": ("attention-overview", "attention-02-wolf"),
    "inspect-influence": ("attention-influence",),
    "inspect-layers": ("text-02", "layers-probes"),
}


def stacked(files: list[Path]) -> Image.Image:
    """Pictures below one another."""
    pictures = [Image.open(file).convert("RGB") for file in files]
    made = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)))
    top = 0
    for picture in pictures:
        made.paste(picture, (0, top))
        top += picture.height
    return made


def main(folder: Path) -> None:
    """Write all of them from `folder`, which holds one atlas and one comparison."""
    (atlas,) = folder.glob("nano-512x288-*")
    (compared,) = folder.glob("cogvideox-5b-512x288-against-720x480")
    for name, parts in ATLAS.items():
        made = stacked([atlas / "pictures" / f"{part}.png" for part in parts])
        few = made.quantize(palette=made.quantize(256), dither=Image.Dither.FLOYDSTEINBERG)
        few.save(DOCS / f"{name}.png", optimize=True)
    shutil.copy(compared / "positions.png", DOCS / "inspect-positions.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
