"""A W&B workspace and a W&B report for a study, built with wandb-workspaces from the keys that its runs log.

Every panel refers to keys that are there: what was not measured has no panel. Building and checking need no
network and no login; saving needs both.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from cogexp.tracking.logged import TABLE_KEY, Logged

EXTRA = "pip install 'cogexp[dashboard]'"
# Quality, faults and costs against the width: the question of this project, one plot each.
AGAINST_WIDTH = {
    "delivered/clip_score": "clip_score of the delivered clip (more is better)",
    "delivered/tear": "tear: 1 suspect, 2 certain (less is better)",
    "cost/peak_allocated_gib": "peak GPU memory, GiB (less is better)",
    "cost/seconds": "seconds a run (less is better)",
}
COORDINATES = (
    "width",
    "frames",
    "steps",
    "guidance",
    "upscaler",
    "scheduler",
    "offload",
    "vae_tiling",
    "prompt",
)
OUTCOMES = ("delivered/clip_score", "delivered/warp_error", *list(AGAINST_WIDTH)[1:])
CLIPS = ("video/native", "video/upscaled")
PICTURES = ("image/contact_sheet", "image/tear")
CURVES = ("per_frame/native/clip_score", "per_frame/native/warp_error", "per_frame/native/tear")
STAGES = ("encode", "denoise", "decode", "upscale", "measure", "write")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the study found, in words: one sentence, and the whole answer as Markdown."""

    title: str
    sentence: str
    markdown: str


def is_installed() -> bool:
    """Whether wandb-workspaces is there."""
    return find_spec("wandb_workspaces") is not None


def workspace(logged: Logged, answer: Answer, *, entity: str, project: str, study: str | None) -> Any:
    """`wandb_workspaces.workspaces.Workspace`: runs grouped by resolution, four sections of panels."""
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces import expr

    columns = [f"config:{key}.value" for key in COORDINATES if key in logged.varying]
    columns += [f"summary:{key}" for key in logged.present(OUTCOMES)]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=answer.title,
        sections=[
            ws.Section(name=name, panels=panels, is_open=True)
            for name, panels in _sections(logged, answer)
            if panels
        ],
        settings=ws.WorkspaceSettings(max_runs=100),
        runset_settings=ws.RunsetSettings(
            filters=expr.And(expr.Metric("Group") == study) if study else "",
            groupby=[expr.Config("resolution")] if "resolution" in logged.config else [],
            pinned_columns=["run:displayName", *columns],
        ),
    )


def _sections(logged: Logged, answer: Answer) -> list[tuple[str, list[Any]]]:
    import wandb_workspaces.reports.v2 as wr

    return [
        (
            "Which setting?",
            [
                wr.MarkdownPanel(markdown=answer.markdown, layout=wr.Layout(w=24, h=8)),
                *_scatters(logged),
                *_coordinates(logged),
            ],
        ),
        ("Clips", _media(logged)),
        ("Runs", [*_stages(logged), *_curves(logged), wr.RunComparer(diff_only="split")]),
        ("Table", [wr.WeavePanelSummaryTable(table_name=TABLE_KEY, layout=wr.Layout(w=24, h=12))]),
    ]


def report(
    logged: Logged, answer: Answer, *, entity: str, project: str, study: str | None, online: bool
) -> Any:
    """`wandb_workspaces.reports.v2.Report`: the decision, then the evidence.

    `online` false leaves the runs' project out of the panel grids: W&B would look its number up otherwise.
    """
    import wandb_workspaces.reports.v2 as wr
    from wandb_workspaces import expr

    def grid(panels: list[Any]) -> list[Any]:
        runs = wr.Runset(
            entity=entity if online else "",
            project=project if online else "",
            name=study or "all runs",
            filters=expr.And(expr.Metric("Group") == study) if study else "",
            groupby=["config.resolution"] if "resolution" in logged.config else [],
        )
        return [wr.PanelGrid(runsets=[runs], panels=panels)] if panels else []

    blocks: list[Any] = [wr.CalloutBlock(text=[answer.sentence]), wr.MarkdownBlock(text=answer.markdown)]
    for title, panels in (
        ("Quality, faults and costs", [*_scatters(logged), *_coordinates(logged)]),
        ("Clips, native and upscaled", _media(logged)),
        ("What differs between runs", [*_stages(logged), wr.RunComparer(diff_only="split")]),
    ):
        if found := grid(panels):
            blocks += [wr.H2(text=title), *found]
    return wr.Report(
        entity=entity,
        project=project,
        title=answer.title,
        description=answer.sentence,
        blocks=blocks,
        width="fluid",
    )


def _scatters(logged: Logged) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    if "width" not in logged.config:
        return []
    return [
        wr.ScatterPlot(
            title=AGAINST_WIDTH[key], x=wr.Config("width"), y=wr.SummaryMetric(key), regression=False
        )
        for key in logged.present(AGAINST_WIDTH)
    ]


def _coordinates(logged: Logged) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    axes = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(k)) for k in COORDINATES if k in logged.varying]
    outcomes = [
        wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(k), display_name=k.partition("/")[2])
        for k in logged.present(OUTCOMES)
    ]
    if len(axes) + len(outcomes) < 2:
        return []
    plot = wr.ParallelCoordinatesPlot(title="settings and outcomes", columns=[*axes, *outcomes])
    plot.layout = wr.Layout(w=24, h=8)
    return [plot]


def _media(logged: Logged) -> list[Any]:
    """Native beside upscaled; then the sheets and what the detectors found."""
    import wandb_workspaces.reports.v2 as wr

    return [
        wr.MediaBrowser(
            title=title, media_keys=keys, num_columns=len(keys), mode="grid", grid_x_axis="index",
            grid_y_axis="run", layout=wr.Layout(w=24, h=12),
        )
        for title, wanted in (("clips", CLIPS), ("contact sheets and faults", PICTURES))
        if (keys := [key for key in wanted if key in logged.media])
    ]  # fmt: skip


def _stages(logged: Logged) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    keys = logged.present(f"stage/{stage}_seconds" for stage in STAGES)
    if not keys or "resolution" not in logged.config:
        return []
    return [
        wr.BarPlot(
            title="seconds by stage", metrics=[wr.SummaryMetric(key) for key in keys],
            groupby=wr.Config("resolution"), groupby_aggfunc="mean",
        )
    ]  # fmt: skip


def _curves(logged: Logged) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    keys: list[Any] = [key for key in CURVES if key in logged.curves]
    return [wr.LinePlot(title="over the frames", x="frame", y=keys, title_x="frame")] if keys else []
