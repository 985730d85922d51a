"""Texts with terminal escape sequences, and a check that the output neutralizes them."""

import re

HOSTILE = (
    "\x1b[2J\x1b]0;title\x07",
    "[/x]",
    "[bold red]styled[/] :smiley:",
    "\x9b2J\x90q\x85",
    "back\x08\x08\rover\x7f",
    "\u202egnp.\u2066exe\u200b\u2028",
    "\udcff half",
)
STYLE = re.compile(r"\x1b\[[0-9;]*m")


def is_harmless(shown: str) -> bool:
    """Return whether it has only line feeds, printable characters, and of escape sequences only colours."""
    return all(line.isprintable() for line in STYLE.sub("", shown).split("\n"))
