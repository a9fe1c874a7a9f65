"""What files and players do to a clip: compression and enlargement."""

from __future__ import annotations

import cv2
import numpy as np

Clip = np.ndarray


def compressed(clip: Clip, crf: int, fps: int = 16) -> Clip:
    """The clip after H.264 at this quality (as files on disk are), decoded again."""
    import io

    import av

    store = io.BytesIO()
    _, h, w, _ = clip.shape
    with av.open(store, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "fast"})
        stream.width, stream.height, stream.pix_fmt = w, h, "yuv420p"
        for frame in clip:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    store.seek(0)
    with av.open(store) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def upscaled(clip: Clip, scale: int) -> Clip:
    """Lanczos."""
    h, w = clip.shape[1:3]
    return np.stack([cv2.resize(f, (w * scale, h * scale), interpolation=cv2.INTER_LANCZOS4) for f in clip])
