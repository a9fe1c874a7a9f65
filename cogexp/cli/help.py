"""`--help`: what the commands are, what the groups hold, and examples to copy. Standard library only."""

from __future__ import annotations

from pathlib import Path

from cogexp.cli import studies

COMMANDS = {
    "plan": "what a setting would cost, and which settings fit gpu=24GB; no weights, no GPU",
    "bench": "what settings cost on this machine, measured in a few steps; no download",
    "quality": "what approximations change: pairs from the same seed, with and without",
    "measure": "metrics of any video:  python -m cogexp measure clip.mp4 --prompt 'two wolves'",
    "inspect": "the inside of the model: every stage's shapes and compute; activations=true: its layers",
    "pick": "the best setting under constraints:  python -m cogexp pick maximize=clip_score max_vram=24GB",
    "optimize": "search for the best setting under constraints, with Optuna; goes on where it stopped",
    "agent": "runs of a W&B sweep in one process that keeps its model:  python -m cogexp agent SWEEP_ID",
    "report": "one HTML file from many runs:  python -m cogexp report outputs",
    "dashboard": "the study in W&B: workspace, report, table:  python -m cogexp dashboard outputs --dry-run",
    "export": "all runs as a table for other tools:  python -m cogexp export outputs --to csv",
    "explain": "who made the fault of a run:  python -m cogexp explain RUN",
    "fetch": "download and check everything a setting needs, once; then it all works offline",
}

USAGE = """\
cogexp - which setting of CogVideoX should I use?

usage: python -m cogexp [COMMAND] [group=choice] [group.key=value] [options]

Without a command it makes one clip at a setting, upscales it, measures it and records it in
outputs/runs/<run_id>/. The same setting again finds its record and is done.

examples
  python -m cogexp resolution=512x288 upscaler=esrgan           one run
  python -m cogexp resolution=640x384 resolution.frames=17      any WxH divisible by 16
  python -m cogexp prompt.text="a red fox, still camera"        your own prompt, commas and all
  python -m cogexp -m resolution=512x288,384x224 upscaler=none,lanczos,esrgan seed=0,1
                                                                a sweep: every combination
  python -m cogexp sweep=quick                                  a ready study, with a report and a decision
  python -m cogexp model=cogvideox-5b optimization=balanced     the real model on a GPU
  python -m cogexp model=cogvideox-2b model.weights=random      full size, no download: memory and speed
  python -m cogexp --config-path outputs/runs/RUN_ID            that run again, with force=true to repeat it
"""

OPTIONS = """\
options
  -m, --multirun     run every combination of comma-separated values
  --plan             say what a sweep would run, with its time and disk, and stop
  --cfg job          print the composed configuration and stop
  --config-path DIR  a folder with config.yaml, such as a run's
  --version          print the version
  -h, --help         this text; COMMAND --help tells more of a command

top-level keys
  seed=0  device=auto|cpu|cuda  outputs=DIR  study=NAME  force=true  strict=false  debug=true  store_gb=20
  preflight=refuse|warn|off  hydra/launcher=basic|overlap|workers|ray|submitit

exit codes: 0 done, 1 a run failed (the others went on), 2 a wrong request (nothing ran), 130 interrupted,
  141 the reader of the answer left
"""


def main_help(conf: Path) -> str:
    """The whole text; the groups and their choices are read from conf/."""
    commands = "".join(f"  {name:<12} {text}\n" for name, text in COMMANDS.items())
    head = "groups (the first line of each file in conf/ says what it is for)"
    ready = "".join(f"  {name:<12} {text}\n" for name, text in studies.purposes().items())
    return (
        f"{USAGE}\ncommands\n{commands}\n{head}\n{groups(conf)}\n"
        f"studies (sweep=NAME; your own words come on top)\n{ready}\n{OPTIONS}"
    )


def groups(conf: Path) -> str:
    """A line a group: its choices and, for sizes, that any WxH goes."""
    lines = []
    for folder in sorted(path for path in conf.iterdir() if any(path.glob("*.yaml"))):
        names = sorted((file.stem for file in folder.glob("*.yaml")), key=_by_size)
        if folder.name == "resolution":
            names.append("or any WxH")
        lines.append(_wrapped(f"  {folder.name:<13}", names))
    return "".join(lines)


def _by_size(name: str) -> tuple[int, str]:
    width = name.partition("x")[0]
    return (int(width) if width.isdigit() else -1, name)


def _wrapped(head: str, names: list[str], width: int = 100) -> str:
    lines, line = [], head
    for index, name in enumerate(names):
        word = name + ("," if index < len(names) - 1 else "")
        if len(line) + len(word) + 1 > width:
            lines.append(line)
            line = " " * len(head)
        line += f" {word}"
    return "\n".join([*lines, line]) + "\n"


MEASURE = """\
usage: python -m cogexp measure FILE... [--prompt TEXT] [--json] [metrics=fast|default|all] [device=cuda]
       python -m cogexp measure FOLDER [...]        python -m cogexp measure [...] -- -NAME-WITH-A-DASH.mp4

Metrics of any video that FFmpeg can read, and of animated GIF, WebP, AVIF and PNG, at the evaluation height,
so that sizes can be compared. A folder stands for the clips in it; after -- every word is a file.
Clips of any length are measured in bounded memory, by windows; see docs/video.md.
--prompt TEXT  what the video should show; without it clip_score is skipped
--json         a list of objects on stdout, nothing else
What lacks its weights is skipped with the reason; get them with: python -m cogexp fetch metrics=default

examples
  python -m cogexp measure clip.mp4 metrics=fast
  python -m cogexp measure a.mp4 b.mp4 --prompt "two wolves" --json > scores.json
"""

INSPECT = """\
usage: python -m cogexp inspect [group=choice] [group.key=value] [against=WxH] [format=md] [--json]
       python -m cogexp inspect activations=true [layers=...] [steps=...] [video=FILE] [probes=N] [...]

Shape tables of text encoder, VAE encoder, transformer and VAE decoder, in the order of the data, with the
parameters and the share of compute of every stage. The real classes run without weights: nothing is
downloaded, no GPU is needed. Image-to-video models need no first frame here.
against=WxH  the same model at a second size: rows that differ, and where the tokens sit in the trained field
             and decode tiles meet, as outputs/inspect/<name>/positions.png
format=md    Markdown instead of tables for the terminal
--json       one object on stdout, nothing else

activations=true makes one clip with the weights and watches it being made: an atlas in
outputs/inspect/<run_id>/index.html with pictures of every layer of the text encoder and the VAE, of
transformer blocks step by step, where each word of the prompt is attended to, and what the text layers do,
measured. The frames are those of the run. The same pictures go to W&B under inspect/. Needs
pip install 'cogexp[inspect]'.
layers=...   transformer blocks to watch, from 0: all, or numbers and ranges such as 0,5,10-12; default: eight
steps=...    denoising steps to watch, from 1, in the same way; default: first, middle and last
video=FILE   a video for the VAE's encoder; default: the clip that was made
effects=...  true (the default) repeats the middle step without each word, false does not
probes=N     prompts that the text layers are measured with, default 384; 0 leaves that out

examples
  python -m cogexp inspect model=cogvideox-5b resolution=720x480
  python -m cogexp inspect model=cogvideox-5b resolution=512x288 against=720x480
  python -m cogexp inspect model=cogvideox-5b-i2v resolution=native format=md > shapes.md
  python -m cogexp inspect activations=true prompt.text="a red fox in a forest"
  python -m cogexp inspect model=cogvideox-5b activations=true layers=0,10,20,30,41 steps=1,25,50
"""

PLAN = """\
usage: python -m cogexp plan [group=choice] [group.key=value] [gpu=24GB|auto|NAME] [exact=true] [--json]

What a setting would cost on a GPU, in closed forms, without weights or a GPU: peak memory by stage (allocated
and reserved), compute, tokens and latent shape, disk and main memory. Then the settings that need less or fit
the card, fastest first, as words to add to the command.
gpu=...      a size (24GB), auto (this machine's card), or a name such as 'RTX 4090' or A100; gpu=none: any
exact=true   activations from a trace of the real modules with fake tensors (up to a minute)
--json       one object on stdout, nothing else

examples
  python -m cogexp plan model=cogvideox-5b resolution=512x288 gpu=24GB
  python -m cogexp plan model=cogvideox-5b model.dtype=float32
  python -m cogexp plan model=cogvideox-1.5-5b resolution=native gpu='RTX 4090' --json
"""

BENCH = """\
usage: python -m cogexp bench [group=choice,choice] [group.key=value] [timed=3] [limit=SECONDS]
                              [--json | --markdown]
       python -m cogexp bench from=FOLDER [--json | --markdown]

Measures settings on this machine: seconds a step (median of warm steps; with a step cache the mean over all
steps), encoding, decoding, peaks of memory, and how far off the plan is. A public model gets random weights
of full size, so nothing is downloaded. Commas make a table: every combination is measured once, kept in
outputs/bench and found again (force=true repeats it). Running out of memory is a result. On a CPU, where
model=nano is what can be done, seconds are CPU time and memory is the process's resident memory.
timed=N      warm steps that are timed, after one that is not
limit=N      seconds after which no further setting is begun; the same words go on where it stopped
from=FOLDER  show what was measured before, here or on another machine; nothing is measured
--json       a list of objects on stdout, nothing else
--markdown   a table a model and size, to paste

examples
  python -m cogexp bench model=cogvideox-5b optimization=none,text-offload,group-block,fp8-cast,low-vram
  python -m cogexp bench model=cogvideox-2b,cogvideox-5b resolution=512x288,720x480 optimization=none,lean-vae
  python -m cogexp bench model=nano optimization=none,pab,split-cfg sampler.steps=10
"""

QUALITY = """\
usage: python -m cogexp quality [group=choice,choice] [group.key=value] [seed=0,1] [--json | --markdown]

What approximations cost in quality: each setting is run beside its exact twin (no step cache, quantization,
cast or tiles; the most steps of those asked for), from the same prompt and seed. Says how much faster it is,
how much less memory it takes, and how far its frames are from the exact ones: PSNR, SSIM, LPIPS, and the
change in clip_score. Runs are recorded as usual in outputs/runs, so what is done is not repeated. LPIPS and
clip_score need their networks (python -m cogexp fetch metrics=default) and are skipped without.

examples
  python -m cogexp quality optimization=pab,fastercache,taylorseer,magcache,fp8-cast seed=0,1,2
  python -m cogexp quality sampler.steps=50,30,20 prompt=wolves,water
  python -m cogexp quality sweep=quality model=cogvideox-5b --markdown
"""

EXPLAIN = """\
usage: python -m cogexp explain RUN [--json] [outputs=DIR] [device=cuda]

Decodes the latents of a finished run a second time, whole, and compares the two clips by rows and columns:
what is gone was made by the decoder's tiles, what stays was made while denoising. Writes explain.png into the
run's folder and the cause into its record. RUN is its id, a part of it that is its own, or its folder.

examples
  python -m cogexp optimization.vae_tiling=true study=tear
  python -m cogexp explain nano-512x288-none-s0
"""

FETCH = """\
usage: python -m cogexp fetch [model=NAME] [metrics=PRESET] [group=choice]

Downloads what the setting needs and does not find on this machine: the checkpoint (safetensors only, from the
hub into its usual cache) and the networks of the metrics. Prints each licence. Interrupted, it resumes.
Afterwards the setting runs offline.

examples
  python -m cogexp fetch model=cogvideox-2b
  python -m cogexp fetch metrics=default
"""

PICK = """\
usage: python -m cogexp pick [DIR] [maximize=METRIC | minimize=METRIC] [where='CONDITIONS']
                             [max_vram=24GB] [max_seconds=300] [study=NAME] [--json | --markdown]

Compares the settings of the runs in DIR (default: outputs) in pairs over prompts and seeds, names the best
with its confidence, or says that the runs do not decide it and how many more would.

METRIC       clip_score: of the clip that the setting delivers (upscaled where it upscales, else native);
             native/clip_score or upscaled/clip_score: exactly that one; seconds, peak_allocated_gib: costs
CONDITIONS   NAME OP VALUE joined by 'and'; OP is == != < <= > >=
             tear.level, seam.level ...: none < suspect < certain, in every run; metrics: on average;
             axes: resolution, steps, upscaler, vae_tiling ...; prompt, seed, study, device, clip_network
             choose runs
max_vram     largest peak of allocated GPU memory; max_seconds: mean time of a run without loading the model
study        only the runs of this study, also those that another one had made before

A setting with a failed or out-of-memory run, or one that was not measured, is left out with the reason.

examples
  python -m cogexp pick
  python -m cogexp pick outputs where='tear.level!=certain and motion_px>0.5' max_vram=24GB
  python -m cogexp pick outputs minimize=warp_error where='study==sizes and prompt!=water' --json
"""

REPORT = """\
usage: python -m cogexp report [DIR] [--out FILE] [--embed] [--grid ROWS COLUMNS [NAME=VALUE ...]]
                               [maximize=METRIC ...]

One HTML file that opens from disk: the decision, tables to sort and filter, videos side by side in step
(click to enlarge, with a slider between two), Pareto and per-frame plots, costs, what the detectors found,
and the command that repeats each run. Default FILE: DIR/reports/report.html; a FILE that is
there must be an earlier report. Takes the words of pick.

--embed  the clips inside the file, to send it away; without it a small picture of each run is inside, and
         the page links to the clips where they lie, relative to FILE
--grid   also one labelled MP4 and one PNG beside FILE, for a chat or a slide; the page opens with that grid.
         ROWS and COLUMNS: an axis, prompt, seed, or clip (delivered, native); NAME=VALUE holds another one,
         such as prompt=wolves seed=1; what is not given is chosen and stated in the picture

Needs jinja2; plots need plotly: pip install 'cogexp[report]'.

examples
  python -m cogexp report outputs
  python -m cogexp report outputs maximize=clip_score where='tear.level!=certain' --out report.html
  python -m cogexp report outputs --grid upscaler resolution prompt=wolves
"""

DASHBOARD = """\
usage: python -m cogexp dashboard [DIR] [study=NAME] [maximize=METRIC ...] [entity=NAME] [project=cogexp]
                                  [--dry-run]

The study in W&B: a workspace (runs grouped by resolution; quality, tear, memory and seconds against width;
parallel coordinates; native and upscaled clips side by side; run comparer), a report with the decision, and
one table with a row and the clips of each run. Panels refer to what these runs log. Prints the addresses.
The runs themselves are there when they were tracked online, or after: wandb sync outputs/wandb/offline-run-*

--dry-run   write DIR/reports/wandb-workspace.json and wandb-report.json, checked by wandb-workspaces' own
            models; needs no login and no network

Takes the words of pick. Needs wandb-workspaces: pip install 'cogexp[dashboard]'.

examples
  python -m cogexp dashboard outputs --dry-run
  python -m cogexp dashboard outputs study=quick entity=my-team
"""

EXPORT = """\
usage: python -m cogexp export [DIR] [--to csv|parquet] [FILE]

One row a run: axes, prompt, seed, status, scores, seconds and memory, artifacts. CSV without FILE goes to
stdout; parquet needs a FILE and pyarrow (pip install 'cogexp[parquet]').

examples
  python -m cogexp export outputs --to csv > runs.csv
  python -m cogexp export outputs --to parquet runs.parquet
"""

OPTIMIZE = """\
usage: python -m cogexp optimize [maximize=METRIC | minimize=METRIC] [where='CONDITIONS'] [max_vram=24GB]
                                 [max_seconds=300] [trials=20] [storage=URL] AXIS=... [group=choice]

Optuna's TPE sampler looks for the setting with the best METRIC among those that meet the constraints (in the
words of pick). Every axis with several values is searched; prompt and seed are not: each trial runs all of
theirs and counts their mean. What runs out of memory, or breaks a limit that every run must keep, is stopped
and kept as evidence. A search is kept in outputs/studies/<study>.optuna (or storage=sqlite:///FILE): the same
command again goes on, and several at once (one a GPU) share the work. Where there are no more settings than
trials, each is tried once. Needs Optuna: pip install 'cogexp[optuna]'.
AXIS  a,b,c   'range(10,51,10)'   'interval(1.0,12.0)'   'tag(log, interval(0.1,10))'

examples
  python -m cogexp optimize maximize=clip_score where='tear<0.4' max_vram=16GB trials=30 \\
      resolution=384x224,512x288 sampler.steps='range(10,51,10)' sampler.guidance='interval(1.0,12.0)' \\
      prompt=wolves,water seed=0,1 study=guidance
"""

AGENT = """\
usage: python -m cogexp agent SWEEP_ID [count=N] [project=NAME] [entity=NAME] [group=choice]

Runs what a W&B sweep asks for, one run after the other in one process that keeps its model (wandb agent
starts a new one, and loads the model anew, for each). SWEEP_ID is what `wandb sweep` printed. Words on the
command line apply to every run, under those of the sweep. Needs a W&B login.

examples
  wandb sweep --project cogexp sweeps/wandb/grid.yaml
  python -m cogexp agent me/cogexp/1a2b3c4d
"""
