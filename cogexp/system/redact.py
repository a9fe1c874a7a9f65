"""Secrets blotted out of whatever leaves: records, logs, messages, what goes to W&B. Linear in time.

Every pattern starts at a fixed word or at the beginning of a word, so that none looks at a text twice: a
million letters without a space take milliseconds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

MARK = "***"
SHORTEST = 8  # of a value of the environment: a shorter one would blot out ordinary words

_NAMES = (
    r"\w{0,20}PASSWORD|\w{0,20}PASSWD|PASSPHRASE|PASS|\w{1,20}_PWD|SECRETS?|TOKENS?|(?:API|ACCESS|SECRET|PRIVATE|SIGNING)[_-]?KEYS?|"
    r"(?:ACCESS|REFRESH|AUTH|ID)[_-]?TOKEN|CREDENTIALS?|AUTH|SECRET[\w-]{1,20}"
)
# *_PASSWORD, *_KEY, *_TOKEN, *_SECRET and their like; a bare KEY is no secret.
SECRET_NAME = re.compile(rf"(?:^|[_.-])(?:{_NAMES})$|[_.-]KEY$", re.IGNORECASE)
_QUERY_NAME = re.compile(r"signature|token|key|credential|policy|password|secret", re.IGNORECASE)
# Words that end in '_key' and hold no secret.
_HARMLESS = re.compile(r"(?:^|_)(?:text|stage|cache|store|primary|sort|foreign|public)_key$", re.IGNORECASE)

_URL_LOGIN = re.compile(r"(?<=://)[^\s/@'\"]{1,1000}@")  # https://user:password@host
_QUERY = re.compile(r"(?<=[?&])([\w.-]{1,100})=([^&\s'\"]+)")  # signed addresses
_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9])(?:hf_|gh[pousr]_|github_pat_|wandb_v\d{1,3}_|sk-|xox[abprs]-|AKIA|glpat-)[\w-]{16,}"
)
_BEARER = re.compile(r"(\b(?:bearer|basic)[ \t]{1,4})[\w.~+/=-]{8,}", re.IGNORECASE)
_HEX_KEY = re.compile(r"(key\W{0,4}(?:is\W{1,3})?)[0-9a-f]{40}\b", re.IGNORECASE)  # alone it may be a commit
_ASSIGNED = re.compile(r"(?<![\w.-])([\w.-]+)['\"]?\s{0,4}[:=]\s{0,4}['\"]?")
_VALUE = re.compile(r"[^\s'\",;]{4,}")
# Alone these are words of a sentence ('token: unknown'); what follows must look like a secret.
_WORDS = ("token", "tokens", "auth", "pass", "secrets", "credential", "credentials")


def secrets() -> list[str]:
    """Values of environment variables that are named like secrets, the longest first."""
    found = {
        value for name, value in os.environ.items() if SECRET_NAME.search(name) and len(value) >= SHORTEST
    }
    return sorted(found, key=len, reverse=True)


def redact(text: str, known: Sequence[str] | None = None) -> str:
    """`text` with whatever looks like a key, a token or a URL's credentials replaced by '***'.

    The `known` secrets go first, whatever they look like: those of `secrets()`, which whoever has many texts
    asks for once.
    """
    for secret in secrets() if known is None else known:
        text = text.replace(secret, MARK)
    text = _URL_LOGIN.sub(f"{MARK}@", text)
    text = _QUERY.sub(_blot(lambda name: bool(_QUERY_NAME.search(name)), "="), text)
    text = _PREFIXED.sub(MARK, text)
    text = _BEARER.sub(rf"\1{MARK}", text)
    text = _HEX_KEY.sub(rf"\1{MARK}", text)
    return _without_assigned(text)


def redact_all(value: Any, known: Sequence[str] | None = None) -> Any:
    """Plain JSON values with every text redacted; a text whose own key is named like a secret goes, too."""
    known = secrets() if known is None else known
    if isinstance(value, str):
        return redact(value, known)
    if isinstance(value, Mapping):
        return {
            key: MARK
            if isinstance(item, str) and item and is_secret_name(str(key))
            else redact_all(item, known)
            for key, item in value.items()
        }
    return [redact_all(item, known) for item in value] if isinstance(value, (list, tuple)) else value


def is_secret_name(name: str) -> bool:
    """Whether a variable, a key or a parameter of this name holds a secret."""
    return bool(SECRET_NAME.search(name[-200:])) and not _HARMLESS.search(name[-200:])


def _blot(is_secret: Callable[[str], bool], sign: str) -> Callable[[re.Match[str]], str]:
    return lambda match: f"{match[1]}{sign}{MARK}" if is_secret(match[1]) else match[0]


def _without_assigned(text: str) -> str:
    """NAME=VALUE and "name": "value" without the value, where the name is one of a secret."""
    kept, done = [], 0
    for match in _ASSIGNED.finditer(text):
        if match.end() <= done or not is_secret_name(match[1]):
            continue
        value = _VALUE.match(text, match.end())
        if value is not None and not _is_word(match[1], value[0]):
            kept += [text[done : match.end()], MARK]
            done = value.end()
    return "".join([*kept, text[done:]])


def _is_word(name: str, value: str) -> bool:
    """Whether the pair is rather part of a sentence or of a configuration: 'token: unknown'."""
    if len(value) >= 16 or re.search("pass(?:word|wd|phrase)|pwd", name, re.IGNORECASE):
        return False
    named = re.search("api|access|secret|private|signing", name)
    return name.lower() in _WORDS or (name.islower() and not named)
