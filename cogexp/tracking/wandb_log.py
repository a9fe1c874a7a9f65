"""What an open W&B run is given at its end: numbers, curves, media, the record; or a study's table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cogexp.record import RECORD_FILE, Record
from cogexp.storage.run_files import inside
from cogexp.system.redact import redact_all
from cogexp.tracking import payload
from cogexp.tracking.guard import line
from cogexp.tracking.logged import TABLE_KEY
from cogexp.tracking.study_table import StudyTable


def log_all(run: Any, record: Record, folder: Path) -> list[str]:
    """Log the record and its files, finish the run in any case; problems with single files, a line each."""
    problems: list[str] = []
    try:
        _log(run, record, folder, problems)
    finally:
        run.finish(exit_code=payload.EXIT_CODES[record.status])
    return problems


def _log(run: Any, record: Record, folder: Path, problems: list[str]) -> None:
    for key, summary in payload.goals(record).items():
        run.define_metric(key, step_metric="frame", summary=summary)
    run.config.update(payload.after(record), allow_val_change=True)
    run.log({**payload.numbers(record), **_media(record, folder, problems)})
    for row in payload.curves(record):
        run.log(row)
    run.summary.update(payload.texts(record))
    if record.status != "ok":
        run.tags = (*(run.tags or ()), record.status)
    if (folder / RECORD_FILE).is_file():
        # A copy: W&B would link to the file, which a repeated run replaces and a moved folder loses.
        copy = Path(run.dir) / RECORD_FILE
        plain = json.dumps(redact_all(record.to_dict()), allow_nan=False, ensure_ascii=False, indent=2)
        copy.write_text(plain + "\n", encoding="utf-8")
        run.save(str(copy), base_path=run.dir, policy="now")


def _media(record: Record, folder: Path, problems: list[str]) -> dict[str, Any]:
    """W&B's videos and images of the run's files. A file that cannot be shown is a problem, not an end."""
    import wandb

    shown: dict[str, Any] = {}
    for key, (kind, file) in payload.media(record).items():
        path = inside(folder, file)
        if path is None:
            problems.append(f"{file} is not shown (it is no file of the run's folder)")
            continue
        try:
            if kind == "video":
                shown[key] = wandb.Video(str(path), format="mp4")
            else:
                shown[key] = wandb.Image(str(path))
        except (OSError, ValueError, wandb.Error) as error:
            problems.append(f"{file} is not shown ({line(error)})")
    return shown


def log_table(run: Any, table: StudyTable) -> None:
    """Log the table with its clips, and finish the run in any case."""
    import wandb

    code = 1
    try:
        rows = [
            [wandb.Video(str(cell), format="mp4") if isinstance(cell, Path) else cell for cell in row]
            for row in table.rows
        ]
        run.log({TABLE_KEY: wandb.Table(columns=list(table.columns), data=rows, allow_mixed_types=True)})
        code = 0
    finally:
        run.finish(exit_code=code)
