"""What came of the commands in every environment, and the Markdown table of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.versions.commands import CHECKS

RESOLUTIONS = {"lowest-direct": "lowest", "highest": "newest"}  # uv's word and the table's
SHOWN = (
    "torch", "torchvision", "diffusers", "transformers", "accelerate", "numpy", "av", "decord",
    "opencv-python-headless", "hydra-core", "wandb", "torchmetrics", "spandrel", "pandas", "scipy", "torchao",
    "gguf", "optuna", "ray", "plotly", "matplotlib", "scikit-learn",
)  # fmt: skip
BEGIN, END = "<!-- tools/check_versions.py: begin -->", "<!-- tools/check_versions.py: end -->"


@dataclass(kw_only=True)
class Result:
    """One environment: its versions, and what came of every command and of the tests."""

    python: str
    resolution: str
    added: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    tests: str = ""

    @classmethod
    def read(cls, file: Path) -> Result:
        """The result that an earlier call wrote."""
        return cls(**json.loads(file.read_text(encoding="utf-8")))

    @property
    def name(self) -> str:
        """'3.10, lowest' or '3.11, newest, torch==2.13.0+cpu'."""
        return ", ".join([self.python, RESOLUTIONS[self.resolution], *self.added])

    @property
    def slug(self) -> str:
        """The name as a file's."""
        return re.sub(r"[^\w.+=]+", "-", self.name)

    @property
    def order(self) -> tuple[int, list[int], str]:
        """Where it stands in the table: those with an added requirement last, then by Python."""
        return len(self.added), [int(digits) for digits in re.findall(r"\d+", self.python)], self.resolution

    @property
    def faults(self) -> list[str]:
        """What neither worked nor was refused."""
        every = {name: self.outcomes.get(name, "") for name in CHECKS} | {"tests": self.tests}
        return [name for name, outcome in every.items() if outcome.startswith("FAULT")]


def table(results: Sequence[Result]) -> str:
    """Markdown: commands by environments, the lines of refusals and faults, versions by environments."""
    heads = "| | " + " | ".join(result.name for result in results) + " |\n|---|" + "---|" * len(results)
    notes: list[str] = []

    def cell(outcome: str) -> str:
        kind, _, text = outcome.partition(": ")
        if text and text not in notes:
            notes.append(text)
        return f"{kind} ({notes.index(text) + 1})" if text else kind or "-"

    rows = [
        f"| {name} | " + " | ".join(cell(result.outcomes.get(name, "")) for result in results) + " |"
        for name in CHECKS
        if any(name in result.outcomes for result in results)
    ]
    rows.append("| tests | " + " | ".join(result.tests or "-" for result in results) + " |")
    listed = [
        f"| {name} | " + " | ".join(result.versions.get(name, "-") for result in results) + " |"
        for name in ("python", *SHOWN)
    ]
    return "\n".join([heads, *rows, "", *_numbered(notes), "", heads, *listed])


def _numbered(notes: Sequence[str]) -> list[str]:
    return [f"{number}. `{text}`" for number, text in enumerate(notes, 1)]


def write_page(page: Path, text: str) -> None:
    """Put the table between the page's two marks.

    Raises:
        ValueError: the page has no such marks.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} must have the lines {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
