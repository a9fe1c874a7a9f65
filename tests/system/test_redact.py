"""Secrets go, words stay, and a long text costs time in proportion to its length."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from cogexp.system import redact as module
from cogexp.system.redact import is_secret_name, redact, redact_all, secrets


@pytest.mark.parametrize(
    "name",
    ["DB_PASSWORD", "OPENAI_API_KEY", "DEPLOY_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "APP_SECRET",
     "PGPASSWORD", "smtp_password", "signing-key", "GITLAB_PASS", "MYSQL_PWD", "CLIENT_SECRET",
     "TOKEN", "PASSWORD"],
)  # fmt: skip
def test_values_of_variables_with_secret_names_go(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "plain-words-here")
    assert "plain-words-here" in secrets()
    assert redact("it said plain-words-here twice") == "it said *** twice"


@pytest.mark.parametrize(
    "name", ["KEYBOARD", "PWD", "MONKEY", "PATH", "COMPASS", "TOKENIZERS_PARALLELISM", "KEY", "text_key"]
)
def test_other_names_hold_no_secret(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("DB_PASSWORD=hunter22 python train.py", "DB_PASSWORD=*** python train.py"),
        ("--config.smtp_password='correct horse'", "--config.smtp_password='*** horse'"),
        ('{"client_secret": "abcd1234", "n": 1}', '{"client_secret": "***", "n": 1}'),
        ("Error:DEPLOY_KEY=abcdef and more", "Error:DEPLOY_KEY=*** and more"),
        ("a.HF_TOKEN: abcd1234", "a.HF_TOKEN: ***"),
        ("token: unknown", "token: unknown"),
        ("cache_key=denoise", "cache_key=denoise"),
        ("prompt.text=two wolves", "prompt.text=two wolves"),
        ("ssh://git:tok@host", "ssh://***@host"),
    ],
)
def test_assignments_to_secret_names_go(text: str, left: str) -> None:
    assert redact(text, known=()) == left


def test_nested_values_and_values_under_a_secret_key_go() -> None:
    held = {"a": ["x password=abcdef", 1, None], "api_key": "whatever", "n": {"text": "Bearer abcdefghij"}}
    assert redact_all(held, ()) == {
        "a": ["x password=***", 1, None], "api_key": "***", "n": {"text": "Bearer ***"}
    }  # fmt: skip


HOSTILE: list[Callable[[int], str]] = [
    lambda n: "a" * n,
    lambda n: "a_" * (n // 2),
    lambda n: "secret_" * (n // 7),
    lambda n: "?token" * (n // 6),
    lambda n: "?" + "token" * (n // 5),
    lambda n: "a:" * (n // 2),
    lambda n: "password" + " " * n,
    lambda n: "http://" * (n // 7),
    lambda n: "://" + "a" * n,
    lambda n: "key" * (n // 3),
    lambda n: "늑대" * (n // 2),
    lambda n: "hf_" * (n // 3),
    lambda n: "PASSWORD=" * (n // 9),
]


@pytest.mark.parametrize("make", HOSTILE)
def test_half_a_megabyte_of_hostile_text_comes_to_an_end(make: Callable[[int], str]) -> None:
    """A pattern that looks at a text again from each of its letters would take hours."""
    assert redact(make(500_000), ())


def test_the_working_folder_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PWD", "OLDPWD"):
        monkeypatch.setenv(name, "/home/me/a-folder")
    assert "/home/me/a-folder" not in secrets()


def test_no_pattern_can_start_inside_a_word() -> None:
    """What makes it linear: each unbounded run is preceded by a fixed word or a look at the letter before."""
    patterns: dict[str, Any] = {
        name: value for name, value in vars(module).items() if isinstance(value, re.Pattern)
    }
    assert patterns
    for name in ("_URL_LOGIN", "_QUERY", "_PREFIXED", "_ASSIGNED"):
        assert patterns[name].pattern.startswith("(?<"), name
