"""tear.png: where the fault is, and why the detector thinks so."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cogexp.metrics.artifacts.detect import Artifacts
from cogexp.metrics.artifacts.evidence import Finding
from cogexp.metrics.clip_frames import EvalClip

MARK = (255, 64, 64)
INK, PAPER, GREY, BAR = (32, 32, 36), (250, 250, 248), (205, 205, 205), (214, 96, 60)
PROFILE_PX, GAP_PX, HEAD_PX, LABEL_PX = 190, 14, 40, 22
ZOOM_ROWS = 48  # rows shown enlarged
FONT = cv2.FONT_HERSHEY_SIMPLEX


def tear_picture(clip: EvalClip, artifacts: Artifacts) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: the worst frame with the place marked, the evidence by row, and the place
    enlarged.

    `artifacts` is detect(clip). Raises ValueError when nothing was found.
    """
    if artifacts.kind is None:
        raise ValueError("expected a clip in which something was found, got level none")
    finding = artifacts.findings[artifacts.kind][1]
    worst = finding.frames[len(finding.frames) // 2] if finding.frames else len(clip.detail) // 2
    frame = clip.detail[worst]
    scale = max(1, round(960 / frame.shape[1]))
    marked = mark(enlarge(frame, scale), finding, scale)
    profile = profile_panel(finding, marked.shape[0], scale)
    zoom = enlarged_place(frame, finding, marked.shape[1] + GAP_PX + PROFILE_PX)
    upper = np.hstack([marked, blank(marked.shape[0], GAP_PX), profile])
    title = headline(artifacts, worst, upper.shape[1], everywhere(finding, len(frame)))
    return np.vstack([title, upper, blank(GAP_PX, upper.shape[1]), zoom])


def everywhere(finding: Finding, height: int) -> bool:
    """The fault has no place: it is in the whole frame."""
    return finding.columns is None and finding.rows in (None, (0, height - 1))


def headline(artifacts: Artifacts, frame: int, width: int, whole: bool) -> NDArray[np.uint8]:
    """What was found, in one line."""
    place = f"columns {artifacts.columns[0]}-{artifacts.columns[1]}" if artifacts.columns else ""
    if whole:
        place = "whole frame"
    elif not place and artifacts.rows:
        place = f"rows {artifacts.rows[0]}-{artifacts.rows[1]}"
    kind = (artifacts.kind or "").replace("_", " ")
    text = f"{kind}: {artifacts.level} (score {artifacts.score:.1f}), {place}, frame {frame}"
    panel = blank(HEAD_PX, width)
    cv2.putText(panel, text, (8, 27), FONT, 0.62, INK, 1, cv2.LINE_AA)
    return panel


def mark(picture: NDArray[np.uint8], finding: Finding, scale: int) -> NDArray[np.uint8]:
    """Lines where the fault begins and ends, drawn in the margin and thinly across."""
    marked = picture.copy()
    h, w = marked.shape[:2]
    if finding.columns is not None:
        x = finding.columns[0] * scale
        cv2.line(marked, (x, 0), (x, h), MARK, 1)
        cv2.rectangle(marked, (x - 3, 0), (x + 3, 12), MARK, -1)
    elif finding.rows is not None and not everywhere(finding, h // scale):
        for row in (finding.rows[0] * scale, (finding.rows[1] + 1) * scale - 1):
            cv2.line(marked, (0, row), (w, row), MARK, 1)
        cv2.rectangle(marked, (0, finding.rows[0] * scale), (6, (finding.rows[1] + 1) * scale), MARK, -1)
    return marked


def profile_panel(finding: Finding, height: int, scale: int) -> NDArray[np.uint8]:
    """(height, PROFILE_PX, 3): a bar for each row, beside the row that it speaks of."""
    panel = blank(height, PROFILE_PX)
    cv2.rectangle(panel, (0, 0), (PROFILE_PX - 1, height - 1), GREY, 1)
    if not finding.profile:
        cv2.putText(panel, "no evidence by row", (10, 24), FONT, 0.45, INK, 1, cv2.LINE_AA)
        return panel
    values = np.maximum(np.asarray(finding.profile), 0)
    top = float(values.max()) or 1.0
    for row, value in enumerate(values):
        length = round((PROFILE_PX - 12) * float(value) / top)
        if length > 0:
            cv2.rectangle(panel, (4, row * scale), (4 + length, (row + 1) * scale - 1), BAR, -1)
    cv2.rectangle(panel, (1, 1), (PROFILE_PX - 2, LABEL_PX), PAPER, -1)  # bars begin at row 0 as well
    cv2.putText(panel, f"evidence by row (max {top:.2f})", (8, 16), FONT, 0.42, INK, 1, cv2.LINE_AA)
    return panel


def enlarged_place(frame: NDArray[np.uint8], finding: Finding, width: int) -> NDArray[np.uint8]:
    """(?, width, 3): the neighbourhood of the line, pixels kept square and sharp; else of the middle."""
    h, w = frame.shape[:2]
    line = finding.columns is None and not everywhere(finding, h)
    row = finding.rows[0] if line and finding.rows else h // 2
    first = int(np.clip(row - ZOOM_ROWS // 2, 0, max(0, h - ZOOM_ROWS)))
    rows = frame[first : first + ZOOM_ROWS]
    factor = max(2, round(2 * width / w))
    columns = min(w, width // factor)
    middle = finding.columns[0] if finding.columns is not None else w // 2
    left = int(np.clip(middle - columns // 2, 0, w - columns))
    picture = enlarge(rows[:, left : left + columns], factor)
    y = (row - first) * factor
    if line:
        cv2.rectangle(picture, (0, max(0, y - 2)), (14, y + 2), MARK, -1)
    return np.hstack([picture, blank(picture.shape[0], width - picture.shape[1])])


def enlarge(picture: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Each pixel becomes factor x factor."""
    return np.ascontiguousarray(picture.repeat(factor, axis=0).repeat(factor, axis=1))


def blank(height: int, width: int) -> NDArray[np.uint8]:
    """Paper."""
    return np.full((height, width, 3), PAPER, np.uint8)
