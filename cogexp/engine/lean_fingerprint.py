"""Is diffusers' CogVideoX decoder the one that `cogexp.engine.lean_vae` does over again?

Compared is what its `forward` methods say, not a version number: comments, layout, annotations and docstrings
do not count, any other change does.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import io
import textwrap
import tokenize
from typing import Any

from diffusers.models.autoencoders import autoencoder_kl_cogvideox as theirs
from diffusers.models.upsampling import CogVideoXUpsample3D

CLASSES: tuple[type, ...] = (
    theirs.CogVideoXSafeConv3d,
    theirs.CogVideoXCausalConv3d,
    theirs.CogVideoXSpatialNorm3D,
    theirs.CogVideoXResnetBlock3D,
    theirs.CogVideoXMidBlock3D,
    theirs.CogVideoXUpBlock3D,
    theirs.CogVideoXDecoder3D,
    CogVideoXUpsample3D,
)
METHODS = ("forward", "fake_context_parallel_forward")
# diffusers 0.35 to 0.42 say the same.
KNOWN = ("132895f42b108119",)


def body(function: Any) -> str:
    """The statements of a function without docstring, comments, spaces and line ends."""
    source = textwrap.dedent(inspect.getsource(function))
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef)
    statements = node.body[1:] if ast.get_docstring(node) is not None else node.body
    lines = source.splitlines(keepends=True)[statements[0].lineno - 1 :]
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    tokens = tokenize.generate_tokens(io.StringIO(textwrap.dedent("".join(lines))).readline)
    return "".join(token.string for token in tokens if token.type not in skipped)


def fingerprint() -> str:
    """Digest of the forward methods of all parts of the decoder."""
    parts = [
        f"{kind.__name__}.{name}:{body(getattr(kind, name))}"
        for kind in CLASSES
        for name in METHODS
        if name in vars(kind)
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
