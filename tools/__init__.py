"""Developers' programs: campaigns against faults, test sets, the pictures of docs/. No run imports them."""
