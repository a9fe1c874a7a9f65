"""Which job next, when several workers share a study: nothing is denoised twice, models stay put."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from cogexp.build import Request
from cogexp.spec import RunSpec
from cogexp.store import Keys
from cogexp.study.order import model_key


class Schedule:
    """Jobs in their order, handed to workers one by one.

    A job whose latents another worker is making right now waits for them. A worker gets, where there is one,
    a job with the latents it just had, else one for the model it holds, else one whose model no one holds.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        self._waiting = list(requests)
        self._running: dict[Hashable, Request] = {}
        self._last: dict[Hashable, Request] = {}
        self._latents: dict[str, str] = {}
        self._models: dict[str, str] = {}
        self._made: set[str] = set()
        for request in requests:
            run_id, spec, stored = request.spec.run_id, request.spec, request.settings.store_gb > 0
            # Without a store there is nothing to wait for: every job makes its own.
            self._latents[run_id] = Keys.of(spec).denoise if stored else run_id
            self._models[run_id] = model_key(spec)

    def __len__(self) -> int:
        """Jobs that no worker has yet."""
        return len(self._waiting)

    @property
    def running(self) -> dict[Hashable, Request]:
        """Worker -> its job."""
        return dict(self._running)

    def next(self, worker: Hashable) -> Request | None:
        """A job for `worker`, now its own; None when there is none, or none that must not wait."""
        under_way = {self._latents[request.spec.run_id] for request in self._running.values()} - self._made
        ready = [r for r in self._waiting if self._latents[r.spec.run_id] not in under_way]
        if not ready:
            return None
        last = self._last.get(worker)
        elsewhere = {self._models[r.spec.run_id] for w, r in self._last.items() if w != worker}

        def rank(request: Request) -> tuple[bool, bool, bool]:
            latents, model = self._keys(request.spec)
            if last is None:
                return True, True, model in elsewhere
            had_latents, had_model = self._keys(last.spec)
            return latents != had_latents, model != had_model, model in elsewhere

        chosen = min(ready, key=rank)  # of equals the first
        self._waiting.remove(chosen)
        self._running[worker] = self._last[worker] = chosen
        return chosen

    def finished(self, worker: Hashable) -> Request:
        """The job of `worker` is done: whoever needs its latents need not wait any more."""
        request = self._running.pop(worker)
        self._made.add(self._latents[request.spec.run_id])
        return request

    def put_back(self, worker: Hashable) -> None:
        """`worker` was gone before its job began: the job is the next one again."""
        self._waiting.insert(0, self.lost(worker))

    def lost(self, worker: Hashable) -> Request:
        """`worker` is gone, and so is what it held; the job that it had is not given to another one."""
        self._last.pop(worker, None)
        return self._running.pop(worker)

    def _keys(self, spec: RunSpec) -> tuple[str, str]:
        return self._latents[spec.run_id], self._models[spec.run_id]
