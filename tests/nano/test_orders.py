"""Training batches: the same everywhere, with exact captions and one-attribute variants."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from cogexp.nano.training.orders import Order, hard_negatives, labels_of, render_order, scenes_of
from cogexp.nano.training.renderer import Renderer
from cogexp.nano.world import Scene, parse, render
from cogexp.nano.world.grammar import CHOICES

ORDER = Order(seed=5, clips=4, width=96, height=64, entropy=0.5, group=2, random_frame=True, wear=1.0)


def test_an_order_is_the_same_again_and_another_seed_is_not():
    first, second = render_order(ORDER), render_order(ORDER)
    assert np.array_equal(first.pixels, second.pixels)
    assert first.captions == second.captions
    assert not np.array_equal(first.pixels, render_order(replace(ORDER, seed=6)).pixels)


def test_workers_render_what_this_process_renders():
    orders = [replace(ORDER, seed=seed, clips=clips) for seed, clips in ((1, 2), (2, 4), (3, 2))]
    with Renderer(1) as renderer:
        # A reader that stops early must leave nothing behind that disturbs the next one.
        next(renderer.batches(replace(ORDER, seed=seed) for seed in range(50, 90)))
        theirs = [(np.array(batch.pixels), batch.captions) for batch in renderer.batches(orders)]
    for order, (pixels, captions) in zip(orders, theirs, strict=True):
        ours = render_order(order)
        assert np.array_equal(pixels, ours.pixels)
        assert captions == ours.captions


def test_a_plain_whole_clip_is_what_render_gives():
    order = Order(seed=0, clips=1, width=96, height=64, entropy=0.0)
    batch = render_order(order)
    possible = [
        render(batch.scenes[0], width=96, height=64, frames=9, seed=s, entropy=0.0) for s in range(24)
    ]
    assert any(np.array_equal(batch.pixels[0], clip) for clip in possible)


def test_captions_are_true_of_their_scenes():
    batch = render_order(replace(ORDER, clips=16, group=1))
    for text, scene in zip(batch.captions, batch.scenes, strict=True):
        said = parse(text)
        assert said.items() <= asdict(scene).items()


def test_groups_share_all_but_one_attribute():
    scenes = scenes_of(replace(ORDER, clips=40, group=4))
    for start in range(0, 40, 4):
        base = asdict(scenes[start])
        for other in scenes[start + 1 : start + 4]:
            assert sum(base[k] != v for k, v in asdict(other).items()) == 1


def test_train_and_held_out_orders_do_not_meet():
    assert not any(scene.held_out for scene in scenes_of(Order(seed=1, clips=64, width=64, height=64)))
    order = Order(seed=1, clips=16, width=64, height=64, split="heldout")
    assert all(scene.held_out for scene in scenes_of(order))


def test_crops_and_looks_have_the_promised_shape():
    order = Order(seed=1, clips=2, width=96, height=64, crop=(32, 48), cuts=3, frames=(0, 4))
    assert render_order(order).pixels.shape == order.shape == (6, 2, 32, 48, 3)
    order = Order(seed=1, clips=2, width=96, height=64, look=(40, 40))
    assert render_order(order).pixels.shape == order.shape == (2, 9, 40, 40, 3)


def test_labels_are_the_indices_of_the_choices():
    labels = labels_of([Scene(count="three", place="beach")])
    assert labels["count"].tolist() == [2]
    assert CHOICES["place"][labels["place"][0]] == "beach"


def test_hard_negatives_change_what_they_say():
    scenes = [Scene(colour="red"), Scene(colour="blue")]
    wrong = hard_negatives(scenes, "colour", seed=1)
    assert all(a.colour != b.colour and a.animal == b.animal for a, b in zip(scenes, wrong, strict=True))
    with pytest.raises(ValueError, match="without flying birds"):
        hard_negatives([Scene(animal="bird", action="flying")], "animal", seed=1)
