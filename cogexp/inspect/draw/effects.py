"""What leaving out each word changes, over the frames; attention beside it tells what is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cogexp.inspect.draw import heat, kit
from cogexp.inspect.draw.kit import Picture
from cogexp.inspect.seen import Activations


def draw(found: Activations, folder: Path) -> list[Picture]:
    """One picture of all words over the middle frame; none when no word was left out."""
    if found.effects is None or not len(found.effects):
        return []
    middle = heat.middle_frame(found)
    labels = [f"without {heat.written(found, column)}" for column in range(len(found.effects))]
    made = heat.over_middle(found, [effect[middle] for effect in found.effects], labels, zero=True)
    return [
        kit.save(
            made, folder, "attention-effects.png", section=heat.SECTION,
            title="What leaving a word out changes", words=" ".join(found.columns),
            caption=_caption(found, middle),
        )
    ]  # fmt: skip


def _caption(found: Activations, middle: int) -> str:
    assert found.effects is not None
    mean = found.effects.mean((1, 2, 3))
    order = np.argsort(-mean)
    most, least = int(order[0]), int(order[-1])
    return (
        f"How far the model's prediction at step {found.effect_step + 1} moves when the word is taken out of "
        f"the prompt, on the same latents: root mean square in latent units, at frame "
        f"{found.shown_frame(middle)}, each word on its own scale, written above it. Over the whole clip "
        f"{found.columns[most]!r} moves most ({mean[most]:.3g}) and {found.columns[least]!r} least "
        f"({mean[least]:.3g})."
    )
