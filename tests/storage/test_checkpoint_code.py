"""A checkpoint that asks for code of its own is refused with the reason; one of weights alone is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cogexp import catalog
from cogexp.choose import require_checkpoint
from cogexp.spec import SpecError
from cogexp.storage.checkpoint_code import MOST_FILES, code_asked_by

INDEX = {
    "_class_name": "CogVideoXPipeline",
    "_diffusers_version": "0.30.0",
    "vae": ["diffusers", "Autoencoder"],
}


def checkpoint(folder: Path, part: str, content: dict[str, Any]) -> Path:
    (folder / "tokenizer").mkdir()
    (folder / "model_index.json").write_text(json.dumps(INDEX))
    (folder / "tokenizer" / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "T5Tokenizer"})
    )
    if part:
        (folder / part).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("tokenizer/tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}}),
        ("tokenizer/config.json", {"auto_map": {"AutoConfig": "evil.Config"}}),
        ("model_index.json", {**INDEX, "transformer": ["my_pipeline", "Custom"]}),
        ("model_index.json", {**INDEX, "custom_pipeline": "evil"}),
    ],
)
def test_code_is_refused_with_the_reason(tmp_path: Path, part: str, content: dict[str, Any]) -> None:
    folder = checkpoint(tmp_path, part, content)
    assert str(code_asked_by(folder)).startswith(f"{part} asks for code")
    with pytest.raises(SpecError, match="no code of a checkpoint"):
        require_checkpoint(catalog.VARIANTS["cogvideox-2b"], str(folder))


def test_weights_alone_are_fine(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "", {})
    assert code_asked_by(folder) is None
    assert require_checkpoint(catalog.VARIANTS["cogvideox-2b"], str(folder)) == str(folder)


def test_no_call_of_ours_trusts_remote_code() -> None:
    """Every AutoTokenizer, AutoModel or AutoConfig says so; nothing unpickles without weights_only."""
    import ast

    package = Path(__file__).resolve().parents[2] / "cogexp"
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name, words = ast.unparse(node.func), {one.arg: ast.unparse(one.value) for one in node.keywords}
            assert words.get("trust_remote_code", "False") == "False", f"{file}: {name}"
            if name.startswith("Auto") and name.endswith(".from_pretrained"):
                assert words.get("trust_remote_code") == "False", f"{file}: {name}"
            if name == "torch.load":
                assert words.get("weights_only") == "True", f"{file}: {name}"
            assert name not in ("pickle.load", "pickle.loads", "eval", "exec", "yaml.load"), f"{file}: {name}"


def test_more_files_than_are_looked_at_are_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "tokenizer/tokenizer_config.json", {"auto_map": {"AutoTokenizer": "evil"}})
    for number in range(MOST_FILES):
        (folder / f"a{number:03}.json").write_text("{}")
    assert "at most 200 are checked" in str(code_asked_by(folder))
