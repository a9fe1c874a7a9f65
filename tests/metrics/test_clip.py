"""CLIP metrics against torchmetrics, on one small seeded network plugged into both sides."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch

from cogexp.metrics import measure
from cogexp.metrics.clip import HfClip, adjacent_cosine, unit
from tests.metrics.clips import pan

PROMPT = "a b c d"


@pytest.fixture(scope="module")
def network() -> HfClip:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast

    words = ["<pad>", "<s>", "</s>", "<unk>", *"abcdefgh"]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    side = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = CLIPConfig(
        text_config={**side, **ids, "vocab_size": 12, "max_position_embeddings": 9},
        vision_config={**side, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = CLIPModel(config).eval()
        for parameter in model.parameters():  # the stock initialisation is so small that all scores agree
            torch.nn.init.normal_(parameter, std=0.3)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return HfClip(name="tiny", model=model, tokenizer=tokenizer, image_processor=processor)


class Unwrapped:
    """The model as torchmetrics expects it: features are tensors, whatever transformers' version returns."""

    def __init__(self, model):
        self.model, self.config = model, model.config

    def to(self, device):
        return self

    def get_image_features(self, pixels):
        out = self.model.get_image_features(pixels)
        return getattr(out, "pooler_output", out)

    def get_text_features(self, ids, mask):
        out = self.model.get_text_features(ids, mask)
        return getattr(out, "pooler_output", out)


def reference_scores(network: HfClip, frames: np.ndarray, text: str) -> list[float]:
    from torchmetrics.functional.multimodal import clip_score

    def processor(images=None, text=None, return_tensors="pt", padding=True):
        if images is not None:
            return network.image_processor(images=images, return_tensors="pt")
        return network.tokenizer(text, return_tensors="pt", padding=True)

    plugged = lambda: (Unwrapped(network.model), processor)  # noqa: E731
    planes = torch.from_numpy(frames.copy()).permute(0, 3, 1, 2)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torchmetrics announces that it cuts a long caption
        return [float(clip_score(plane, text, plugged)) for plane in planes]


@pytest.mark.parametrize("text", ["a b c d", "h g f", "a"])
def test_clip_score_is_torchmetrics_on_the_same_network(network, text):
    frames = pan(40, frames=3)
    found = measure(frames, 8, text, ["clip_score"], networks={"clip": network})
    expected = reference_scores(network, frames, text)
    assert max(expected) > 1  # not a comparison of zeros
    assert found.per_frame["clip_score"] == pytest.approx(expected, abs=1e-3)
    assert found.scores["clip_score"] == pytest.approx(np.mean(expected), abs=1e-3)
    assert found.notes["clip_score"] == "tiny"


def test_a_negative_cosine_counts_as_zero(network):
    class Opposite(HfClip):
        def embed_text(self, text):
            image = self.embed_images(pan(40, frames=1))[0]
            return -image, ""

    opposite = Opposite(
        name="o", model=network.model, tokenizer=network.tokenizer, image_processor=network.image_processor
    )
    found = measure(pan(40, frames=1), 8, "a", ["clip_score"], networks={"clip": opposite})
    assert found.scores["clip_score"] == 0.0


def test_a_long_prompt_is_cut_and_said_so(network):
    found = measure(pan(0, frames=1), 8, "a b c d e f g h a b c", ["clip_score"], networks={"clip": network})
    assert found.notes["clip_score"] == (
        "tiny; prompt cut: CLIP reads 9 of 13 tokens; the last word read is 'g' (word 7 of 11), "
        "the first that is not is 'h'"
    )
    cut = measure(pan(0, frames=1), 8, "a b c d e f g", ["clip_score"], networks={"clip": network})
    assert found.scores["clip_score"] == pytest.approx(cut.scores["clip_score"], abs=1e-4)


def test_consistency_is_the_cosine_of_neighbours(network):
    frames = pan(40, frames=4)
    found = measure(frames, 8, None, ["clip_consistency"], networks={"clip": network})
    vectors = network.embed_images(frames).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = [float(a @ b) for a, b in pairwise(vectors)]
    assert found.per_frame["clip_consistency"] == pytest.approx(expected, abs=1e-5)
    assert min(expected) < 0.999


def test_a_still_clip_is_fully_consistent(network):
    found = measure(pan(0, frames=3), 8, None, ["clip_consistency"], networks={"clip": network})
    assert found.scores["clip_consistency"] == pytest.approx(1.0, abs=1e-5)


def test_one_pass_serves_both_and_batches_do_not_matter(network):
    calls = []

    class Counting(HfClip):
        def embed_images(self, frames):
            calls.append(len(frames))
            return super().embed_images(frames)

    counting = Counting(
        name="c", model=network.model, tokenizer=network.tokenizer, image_processor=network.image_processor
    )
    frames, names = pan(40, frames=5), ["clip_score", "clip_consistency"]
    small = measure(frames, 8, PROMPT, names, batch=2, networks={"clip": counting})
    assert calls == [2, 2, 1]
    large = measure(frames, 8, PROMPT, names, networks={"clip": network})
    assert small.scores == pytest.approx(large.scores, abs=1e-4)


def test_without_a_prompt_only_the_comparison_with_it_is_skipped(network):
    found = measure(pan(0, frames=2), 8, "  ", ["clip_score", "clip_consistency"], networks={"clip": network})
    assert found.scores["clip_score"] is None
    assert "prompt" in found.skipped["clip_score"]
    assert found.scores["clip_consistency"] is not None


def test_adjacent_cosine_of_orthogonal_vectors_is_zero():
    assert adjacent_cosine(unit(np.eye(3, dtype=np.float32))).tolist() == [0.0, 0.0]
