"""What the README names is there: CI's command, every choice of the groups, the files it links to."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_runs_the_readmes_test_command() -> None:
    command = next(line for line in README.splitlines() if ".venv/bin/pytest" in line)
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_every_choice_of_the_groups_is_in_the_readme() -> None:
    for group in ("model", "sampler", "upscaler", "prompt", "metrics", "tracking", "optimization"):
        row = next(line for line in README.splitlines() if line.startswith(f"| `{group}`"))
        for file in (ROOT / "conf" / group).glob("*.yaml"):
            assert file.stem in row, f"{group}={file.stem} is not in the README's table"


def test_files_that_the_readme_links_to_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
