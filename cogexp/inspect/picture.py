"""positions.png: where the tokens of two sizes sit in the trained field, where their decode tiles meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from cogexp.inspect.compare import Comparison, View
from cogexp.inspect.tiles import Tile
from cogexp.media.text_layout import font_for, wrap
from cogexp.sheet import INK, LINE, MARGIN, PAPER, SOFT, WIDTH

Colour = tuple[int, int, int]
_DEFAULT_TILES = (
    "Tiles of the decoder (optimization.vae_tiling=true, default tiles)",
    "Untiled decoding has no seams. Tiled, the last tile of an axis is what is left over: few latent "
    "rows, with normalisation statistics and zero padding of their own, so pictures can tear there.",
)
_EDGE_TILES = (
    "Tiles of the decoder (optimization.vae_tiling=edge)",
    "Untiled decoding has no seams. Edge-aligned tiles all have one size, the frame's whole height where "
    "they can, and are blended over all that they share with their neighbours: none is thin.",
)
GUTTER = 72  # room for row labels left of a plot
BETWEEN = 56
PLOT = (WIDTH - 2 * MARGIN - BETWEEN) // 2 - GUTTER  # width of one plot, px
FIELD, TRAINED, USED = (238, 238, 233), (176, 178, 180), (26, 104, 186)
ONE, MIXED, THIN = (226, 236, 226), (244, 205, 128), (214, 84, 66)


def draw(comparison: Comparison, out: Path) -> None:
    """Write the picture of `comparison` into `out`."""
    page = _Page()
    this, other = comparison.this, comparison.other
    page.heading(f"{this.spec.model.name}: {this.size} against {other.size}", _summary(this, other))
    kind = {"rope": "rotary", "sincos": "sincos"}[this.positions.kind]
    page.section(
        f"Positions of the video tokens in the field that was trained ({kind})",
        "A token is a patch of 16x16 px, and these numbers tell it its place. In training they were the grey "
        "dots: whole numbers, one apart, all of them in every clip. Blue dots between grey ones, and a field "
        "that is not filled, are new to the model.",
    )
    page.legend(
        [
            (TRAINED, "trained position", True),
            (USED, "position at this size", True),
            (FIELD, "trained field", False),
        ]
    )
    page.pair((this, other), _positions_plot, lambda view: [axis.describe() for axis in view.positions.axes])
    page.section(
        *(_EDGE_TILES if this.tiles.edge else _DEFAULT_TILES),
    )
    page.legend(
        [
            (ONE, "one full tile", False),
            (MIXED, "blended from two tiles", False),
            (THIN, "only from a thin last tile: the redder, the fewer latent rows or columns it has", False),
        ]
    )
    page.pair((this, other), _tiles_plot, lambda view: view.tiles.describe())
    page.save(out)


def _summary(this: View, other: View) -> str:
    step = [view.part_tflops("transformer") for view in (this, other)]
    decode = [view.part_tflops("vae_decoder") for view in (this, other)]
    return (
        f"{this.video_tokens:,} video tokens against {other.video_tokens:,};   one pass of the transformer "
        f"{step[0]:.1f} TFLOP against {step[1]:.1f};   decoding {decode[0]:.1f} against {decode[1]:.1f}"
    )


class _Page:
    """A page that grows downward. `y` is where the next block starts."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH, 6000), PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.y = MARGIN

    def text(self, left: int, text: str, size: int, colour: Colour, width: int) -> None:
        """Wrapped text at `left`; moves `y` below it."""
        face = font_for(text, size)
        for line in wrap(text, face, width):
            self.draw.text((left, self.y), line, font=face, fill=colour)
            self.y += round(size * 1.36)

    def heading(self, title: str, subtitle: str) -> None:
        self.text(MARGIN, title, 36, INK, WIDTH - 2 * MARGIN)
        self.y += 4
        self.text(MARGIN, subtitle, 21, SOFT, WIDTH - 2 * MARGIN)

    def section(self, title: str, about: str) -> None:
        self.y += 22
        self.draw.line((MARGIN, self.y, WIDTH - MARGIN, self.y), fill=LINE, width=2)
        self.y += 18
        self.text(MARGIN, title, 26, INK, WIDTH - 2 * MARGIN)
        self.y += 2
        self.text(MARGIN, about, 19, SOFT, WIDTH - 2 * MARGIN)
        self.y += 10

    def legend(self, entries: Sequence[tuple[Colour, str, bool]]) -> None:
        """Swatches, round for dots, with their meaning."""
        left, face = MARGIN, font_for("", 19)
        for colour, name, dot in entries:
            box = (
                (left + 5, self.y + 7, left + 16, self.y + 18)
                if dot
                else (left, self.y + 3, left + 30, self.y + 21)
            )
            self.draw.ellipse(box, fill=colour) if dot else self.draw.rectangle(
                box, fill=colour, outline=SOFT
            )
            left += 24 if dot else 38
            self.draw.text((left, self.y), name, font=face, fill=INK)
            left += round(face.getlength(name)) + 40
        self.y += 38

    def pair(
        self,
        views: tuple[View, View],
        plot: Callable[[_Page, View, tuple[View, View], int], int],
        lines: Callable[[View], list[str]],
    ) -> None:
        """Two plots side by side, each with its size above and its facts below."""
        top, bottoms = self.y, []
        for index, view in enumerate(views):
            left = MARGIN + index * (PLOT + GUTTER + BETWEEN)
            self.y = top
            self.text(left, view.size, 24, INK, PLOT)
            self.y = plot(self, view, views, left + GUTTER) + 8
            for line in lines(view):
                self.text(left, line, 18, INK, PLOT + GUTTER)
                self.y += 5
            bottoms.append(self.y)
        self.y = max(bottoms)

    def tick(self, at: tuple[float, float], text: str, *, side: str, drop: int = 0) -> None:
        """A number left of the plot's left edge, or below its lower edge, at a point of that edge."""
        x, y = at
        if side == "left":
            self.draw.line((x - 7, y, x, y), fill=SOFT)
            self.draw.text((x - 11, y), text, font=font_for("", 16), fill=SOFT, anchor="rm")
        else:
            self.draw.line((x, y, x, y + 7 + drop), fill=SOFT)
            self.draw.text((x, y + 10 + drop), text, font=font_for("", 16), fill=SOFT, anchor="ma")

    def axis_names(self, left: float, top: float, below: float, horizontal: str, vertical: str) -> None:
        """What the numbers are."""
        self.draw.text(
            (left + PLOT / 2, below + 32), horizontal, font=font_for("", 17), fill=SOFT, anchor="ma"
        )
        self.draw.text((left - GUTTER, top - 6), vertical, font=font_for("", 17), fill=SOFT, anchor="lb")

    def save(self, out: Path) -> None:
        out.parent.mkdir(parents=True, exist_ok=True)
        self.image.crop((0, 0, WIDTH, self.y + MARGIN)).save(out, optimize=True)


def _positions_plot(page: _Page, view: View, views: tuple[View, View], left: int) -> int:
    """The trained field with its positions, and over it those of this size. Returns where it ends."""
    rows, columns = view.positions.rows, view.positions.columns
    wide, high = (
        max(max(getattr(v.positions, a).used[-1], getattr(v.positions, a).trained[-1]) for v in views)
        for a in ("columns", "rows")
    )
    scale = PLOT / (wide + 1)
    top, height = page.y + 34, round((high + 1) * scale)

    def place(column: float, row: float) -> tuple[float, float]:
        return left + (column + 0.5) * scale, top + (row + 0.5) * scale

    page.draw.rectangle(
        (*place(-0.5, -0.5), *place(columns.trained[-1] + 0.5, rows.trained[-1] + 0.5)), fill=FIELD
    )
    for radius, colour, across, down in (
        (max(scale * 0.13, 1), TRAINED, columns.trained, rows.trained),
        (max(scale * 0.22, 1.4), USED, columns.used, rows.used),
    ):
        for row in down:
            for column in across:
                x, y = place(column, row)
                page.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    every = next(step for step in (5, 10, 20, 50, 100) if wide / step <= 12)
    for mark in range(0, int(wide) + 1, every):
        page.tick((place(mark, 0)[0], top + height), str(mark), side="below")
    for mark in range(0, int(high) + 1, every):
        page.tick((left, place(0, mark)[1]), str(mark), side="left")
    page.axis_names(left, top, top + height, "column position", "row position")
    return top + height + 62


def _tiles_plot(page: _Page, view: View, views: tuple[View, View], left: int) -> int:
    """The frame to scale, coloured by what decides each pixel. Returns where it ends."""
    widest = max(v.spec.resolution.width for v in views)
    tallest = max(v.spec.resolution.height for v in views)
    scale, top = PLOT / widest, page.y + 34
    size, tiles = view.spec.resolution, view.tiles
    page.draw.rectangle(
        (left, top, left + size.width * scale, top + size.height * scale), fill=ONE, outline=SOFT
    )
    for colour, (x0, y0, x1, y1) in _zones(view):
        page.draw.rectangle(
            (left + x0 * scale, top + y0 * scale, left + x1 * scale, top + y1 * scale), fill=colour
        )
    page.draw.rectangle((left, top, left + size.width * scale, top + size.height * scale), outline=SOFT)
    bottom = top + size.height * scale
    for mark in _marks(tiles.rows):
        page.tick((left, top + mark * scale), str(mark), side="left")
    last = -100.0
    for mark in _marks(tiles.columns):
        at, drop = left + mark * scale, 0
        if at - last < 44:  # two numbers would touch: the second one goes a line lower
            drop = 18
        page.tick((at, bottom), str(mark), side="below", drop=drop)
        last = -100.0 if drop else at
    page.axis_names(left, top, bottom, "", "row, px")
    page.draw.text(
        (left + size.width * scale / 2, bottom + 48),
        "column, px",
        font=font_for("", 17),
        fill=SOFT,
        anchor="ma",
    )
    return round(top + tallest * scale) + 78


def _zones(view: View) -> list[tuple[Colour, tuple[int, int, int, int]]]:
    """What lies over the full tiles, in the order of painting: thin tiles, the thinnest last, then blends."""
    tiles, size = view.tiles, view.spec.resolution
    thin: list[tuple[float, tuple[int, int, int, int]]] = []
    mixed: list[tuple[Colour, tuple[int, int, int, int]]] = []
    for axis, full, vertical in ((tiles.rows, tiles.full[0], True), (tiles.columns, tiles.full[1], False)):
        for tile in axis[1:]:
            for begin, end, blend in ((tile.alone, tile.until, False), (tile.blend, tile.alone, True)):
                box = (0, begin, size.width, end) if vertical else (begin, 0, end, size.height)
                if blend:
                    mixed.append((MIXED, box))
                elif end > begin and tile.latents < full:
                    thin.append((1 - tile.latents / full, box))
    return [(_between(ONE, THIN, share), box) for share, box in sorted(thin)] + mixed


def _between(low: Colour, high: Colour, share: float) -> Colour:
    """A colour on the way from `low` to `high`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
    return red, green, blue


def _marks(tiles: tuple[Tile, ...]) -> list[int]:
    """Edges worth a number."""
    return sorted({0, tiles[-1].until, *(edge for tile in tiles[1:] for edge in (tile.blend, tile.alone))})
