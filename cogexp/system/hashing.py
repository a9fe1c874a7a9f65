"""The SHA-256 digest of a file, read block by block. (hashlib.file_digest came with Python 3.11.)"""

from __future__ import annotations

import hashlib
from typing import BinaryIO

BLOCK = 2**22  # bytes


def sha256_of_open(file: BinaryIO) -> str:
    """Of what is left of an open file, in hexadecimal. Raises OSError."""
    found = hashlib.sha256()
    while block := file.read(BLOCK):
        found.update(block)
    return found.hexdigest()
