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
    "freezedetect": ("n=0.001:d={duration}", {}),  # its events are read by `frozen_share`
}


def unavailable() -> tuple[str, ...]:
    """Filters of the table that this build of PyAV does not have."""
    from av.filter import filters_available

    return tuple(name for name in FILTERS if name not in filters_available)


def filter_scores(path: str | Path) -> dict[str, float]:
    """Mean and maximum over the frames of every statistic: {"VREP mean": ..., "VREP max": ...}.

    freezedetect has one value, the share of frozen frames. Raises ValueError when a filter is unavailable.
    """
    gone = unavailable()
    if gone:
        raise ValueError(f"this ffmpeg has no {', '.join(gone)}")
    values: dict[str, list[float]] = {}
    frames = list(frame_metadata(path))
    for metadata in frames:
        for _, keys in FILTERS.values():
            for key, name in keys.items():
                if key in metadata:
                    values.setdefault(name, []).append(float(metadata[key]))
    names = [name for _, keys in FILTERS.values() for name in keys.values()]
    scores: dict[str, float] = {}
    for name in names:
        found = np.nan_to_num(np.array(values.get(name) or [0.0]))
        scores[f"{name} mean"], scores[f"{name} max"] = float(found.mean()), float(found.max())
    scores["freezedetect"] = frozen_share(frames)
    return scores


def frozen_share(frames: list[dict[str, str]]) -> float:
    """Share of the frames between freezedetect's start and end events (a start without an end lasts)."""
    frozen, count = False, 0
    for metadata in frames:
        if "lavfi.freezedetect.freeze_end" in metadata:
            frozen = False
        if "lavfi.freezedetect.freeze_start" in metadata:
            frozen = True
        count += frozen
    return count / max(1, len(frames))


def frame_metadata(path: str | Path) -> Iterator[dict[str, str]]:
    """The metadata that the chain of all filters leaves on each frame."""
    import av
    from av.filter import Graph

    with av.open(str(path)) as file:
        graph = Graph()
        stream = file.streams.video[0]
        last = graph.add_buffer(template=stream)
        # One repeated frame lasts two frame times; a single frame must not count as a freeze.
        duration = 1.5 / float(stream.average_rate or 24)
        for name, (option, _) in FILTERS.items():
            node = graph.add(name, option.format(duration=duration)) if option else graph.add(name)
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
