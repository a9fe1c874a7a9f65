"""The text's way: words -> tokens -> T5 layers -> prompt embeddings (1, L, d)."""

from __future__ import annotations

from cogexp.inspect.modules import build_meta, text_tokens
from cogexp.inspect.row import Row
from cogexp.inspect.trace import Stop, trace
from cogexp.spec import RunSpec

PART = "text_encoder"


def text_rows(spec: RunSpec) -> list[Row]:
    """Rows of the text encoder for one prompt."""
    import torch

    length, module = text_tokens(spec), build_meta(PART, spec)
    layers = f"layers 0-{module.config.num_layers - 1}"
    stops = (
        Stop(stage="token embedding", pattern="encoder.embed_tokens"),
        Stop(
            stage="relative position bias",
            pattern="encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
            note="no position embedding is added to the tokens: the classic picture has a learned one here; "
            "T5 adds a learned bias by distance to the attention scores, made in layer 0 and shared by all",
        ),
        Stop(
            stage=f"{layers}: self-attention",
            pattern="encoder.block.*.layer.0",
            note=f"{module.config.num_heads} heads x {module.config.d_kv}",
        ),
        Stop(
            stage=f"{layers}: feed-forward",
            pattern="encoder.block.*.layer.1",
            note=f"gated gelu, inner width {module.config.d_ff}",
        ),
        Stop(stage="final norm", pattern="encoder.final_layer_norm", note="these are the prompt embeddings"),
    )
    seen, _ = trace(module, stops, lambda: module(torch.zeros(1, length, dtype=torch.long)))
    pieces = "SentencePiece pieces" if length == 226 else "pieces of the embedded model's small vocabulary"
    first = seen["token embedding"].inputs[0]
    tokens = Row(
        part=PART,
        stage="tokens",
        module="tokenizer",
        input=(1,),
        output=first,
        note=f"{length} {pieces}, padded; the classic CLIP picture has 77 BPE tokens",
    )
    return [tokens, *(one.row(PART) for one in seen.values())]
