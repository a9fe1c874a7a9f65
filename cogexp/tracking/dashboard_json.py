"""Workspaces and reports as W&B stores them: written, read back by its own models, and the keys they use."""

from __future__ import annotations

import json
from typing import Any


def workspace_json(found: Any) -> str:
    """The workspace as W&B stores it, read back by wandb-workspaces' own models.

    Raises:
        ValueError: (pydantic's ValidationError) it would not be accepted.
    """
    from wandb_workspaces.workspaces import internal

    return _read_back(found, internal.View)


def report_json(found: Any) -> str:
    """The same for a report.

    Raises:
        ValueError: (pydantic's ValidationError) it would not be accepted.
    """
    from wandb_workspaces.reports.v2 import internal

    return _read_back(found, internal.ReportViewspec)


def _read_back(found: Any, model: Any) -> str:
    """What W&B would store of `found`, once `model` and its own class have read it again."""
    text: str = found._to_model().model_dump_json(by_alias=True, exclude_none=True, indent=2)
    type(found)._from_model(model.model_validate_json(text))
    return text


def keys_in(text: str) -> set[str]:
    """Every key of a run that such a JSON refers to: 'config:width', 'summary:cost/seconds', 'history:frame',
    'media:video/native'. Without W&B's own, such as _step."""
    found: set[str] = set()
    _collect(json.loads(text), found)
    return {key for key in found if ":_" not in key}


def _collect(node: Any, found: set[str]) -> None:
    if isinstance(node, list):
        for item in node:
            _collect(item, found)
    if not isinstance(node, dict):
        return
    if set(node) == {"section", "name"} and node["section"] != "run":
        found.add(_key(f"{node['section']}:{node['name']}"))
    for name, value in node.items():
        if name in ("xAxis", "yAxis", "zAxis", "accessor") and isinstance(value, str):
            found.add(_key(value))
        elif name == "mediaKeys":
            found |= {f"media:{key}" for key in value}
        elif name == "metrics" and all(isinstance(key, str) for key in value):
            found |= {_key(key) for key in value}
        elif name == "columnOrder":
            found |= {_key(key) for key in value if not key.startswith("run:")}
        elif name != "gridSettings":
            _collect(value, found)


def _key(text: str) -> str:
    """One spelling for the ways in which W&B's panels name a key."""
    if text.startswith("summary_metrics."):
        return f"summary:{text.removeprefix('summary_metrics.')}"
    if text.startswith("config:"):
        return text.replace(".value", "", 1)
    return text if ":" in text else f"history:{text}"
