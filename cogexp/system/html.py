"""What a page of ours may do in a browser: run its own scripts and show files beside it, and nothing else."""

from __future__ import annotations

import secrets


def new_nonce() -> str:
    """A word for one page that its own scripts carry and no text from a record can know."""
    return secrets.token_urlsafe(18)


def content_policy(nonce: str) -> str:
    """A Content-Security-Policy for a page that opens from disk: no network, no foreign script, no form."""
    media = "'self' file: data: blob:"
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src {media}; "
        f"media-src {media}; font-src data:; base-uri 'none'; form-action 'none'"
    )
