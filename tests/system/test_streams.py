"""Standard output and error that break: what was asked for is done, and the exit code says what was not."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cogexp.__main__ import main
from cogexp.launch.logs import show_log_lines
from cogexp.system import streams
from cogexp.terminal import Lines


class Broken(io.StringIO):
    """Takes nothing."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(
    ("number", "code", "says"), [(errno.EPIPE, 141, ""), (errno.ENOSPC, 1, "cogexp: standard output")]
)
def test_an_answer_that_cannot_be_given_is_an_exit_code(
    number: int, code: int, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(number))
    assert main(["--version"]) == code
    assert capsys.readouterr().err.startswith(says)
    assert isinstance(sys.stdout, Broken), "the caller's streams come back"


def test_a_closed_output_is_no_answer_either(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["--version"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_wrong_request_is_wrong_whatever_becomes_of_its_message(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (Broken(errno.EPIPE), Broken(errno.ENOSPC), None):
        monkeypatch.setattr(sys, "stderr", stream)
        assert main(["pick", "there-is-no-such-folder"]) == 2


def test_nothing_that_is_said_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside the command line, too: a notebook's progress, the log lines of a worker."""
    closed = io.StringIO()
    closed.close()
    for stream in (Broken(errno.ENOSPC), None, closed):
        monkeypatch.setattr(sys, "stderr", stream)
        Lines().say("a line")
        with Lines().stage("denoise", 2) as advance:
            advance(2)
    import logging

    logger = logging.getLogger("cogexp")
    handlers, propagate = logger.handlers[:], logger.propagate
    try:
        show_log_lines(False)
        logger.warning("a line")
    finally:
        logger.handlers, logger.propagate = handlers, propagate


def test_lines_that_were_not_written_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Broken(errno.ENOSPC))
    with streams.guarded() as (_, err):
        Lines().say("one\ntwo")
        Lines().say("three")
        assert err.unwritten == streams.unwritten() == 3


def test_characters_that_a_stream_has_not_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with streams.guarded():
        print("wölfe \ud800")
    assert raw.getvalue().decode() == "w\\xf6lfe \\ud800\n"


@pytest.mark.skipif(os.name != "posix", reason="descriptors by number")
def test_a_closed_descriptor_is_not_given_to_the_next_file(tmp_path: Path) -> None:
    code = (
        "from cogexp.system import streams; import os; streams.guard(); "
        f"f = open({str(tmp_path / 'clip')!r}, 'w'); os.write(2, b'noise'); os.write(1, b'noise'); "
        "assert f.fileno() > 2"
    )
    command = f'exec "{sys.executable}" -c "$0" >&- 2>&- <&-'
    root = Path(__file__).parent.parent.parent
    assert subprocess.run(["sh", "-c", command, code], cwd=root).returncode == 0
    assert (tmp_path / "clip").read_text() == ""


def test_the_interpreter_ends_in_silence_when_the_reader_left() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    root = Path(__file__).parent.parent.parent
    words = [sys.executable, "-m", "cogexp", "--version"]
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, cwd=root)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
