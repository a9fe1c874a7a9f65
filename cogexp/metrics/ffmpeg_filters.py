"""ffmpeg's own picture statistics, through PyAV: what the detectors are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

# ffmpeg filter and its option -> the statistics that it leaves on each frame
FILTERS: dict[str, tuple[str | None, dict[str, str]]] = {
    "signalstats": (
        "stat=tout+vrep",
        {"lavfi.signalstats.VREP": "VREP", "lavfi.signalstats.TOUT": "TOUT"},
    ),
    "blockdetect": (None, {"lavfi.block": "blockdetect"}),
    "blurdetect": (None, {"lavfi.blur": "blurdetect"}),
    "siti": (None, {"lavfi.siti.si": "siti (spatial)", "lavfi.siti.ti": "siti (temporal)"}),
    "freezedetect": ("n=0.001:d=0.05", {"lavfi.freezedetect.freeze_duration": "freezedetect"}),
}


def unavailable() -> tuple[str, ...]:
    """Filters of the table that this build of PyAV does not have."""
    from av.filter import filters_available

    return tuple(name for name in FILTERS if name not in filters_available)


def filter_scores(path: str | Path) -> dict[str, float]:
    """Mean and maximum over the frames of every statistic: {"VREP mean": ..., "VREP max": ...}.

    freezedetect counts the seconds that it calls frozen. Raises ValueError when a filter is unavailable.
    """
    gone = unavailable()
    if gone:
        raise ValueError(f"this ffmpeg has no {', '.join(gone)}")
    values: dict[str, list[float]] = {}
    for metadata in frame_metadata(path):
        for _, keys in FILTERS.values():
            for key, name in keys.items():
                if key in metadata:
                    values.setdefault(name, []).append(float(metadata[key]))
    names = [name for _, keys in FILTERS.values() for name in keys.values()]
    scores: dict[str, float] = {}
    for name in names:
        found = np.nan_to_num(np.array(values.get(name) or [0.0]))
        if name == "freezedetect":
            scores[name] = float(found.sum())
        else:
            scores[f"{name} mean"], scores[f"{name} max"] = float(found.mean()), float(found.max())
    return scores


def frame_metadata(path: str | Path) -> Iterator[dict[str, str]]:
    """The metadata that the chain of all filters leaves on each frame."""
    import av
    from av.filter import Graph

    with av.open(str(path)) as file:
        graph = Graph()
        last = graph.add_buffer(template=file.streams.video[0])
        for name, (option, _) in FILTERS.items():
            node = graph.add(name, option) if option else graph.add(name)
            last.link_to(node)
            last = node
        last.link_to(graph.add("buffersink"))
        graph.configure()
        for frame in file.decode(video=0):
            graph.push(frame)
            yield from _pulled(graph)
        graph.push(None)
        yield from _pulled(graph)


def _pulled(graph: object) -> Iterator[dict[str, str]]:
    """What the graph has ready."""
    while True:
        try:
            frame = graph.pull()  # type: ignore[attr-defined]
        except (BlockingIOError, EOFError):
            return
        yield dict(frame.metadata)
