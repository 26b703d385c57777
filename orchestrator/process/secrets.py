"""What nobody may read in a log, a message or a store."""

from __future__ import annotations

import re


def without_secret(text: str) -> str:
    """`text` with user and password left out of every address in it.

    A password may hold what an address may not, such as @ and /: drivers of databases take it as it is.
    """
    text = re.sub(r"//(?:[^/\s:@]*:\S*|[^/\s]*)@", "//", text)
    text = re.sub(r"(?<![^\s'\"=(])[^\s/:@'\"=(]+:(?!//)\S*@", "", text)  # user:password@host, http:/user:...
    return re.sub(r"(?<=://)([^\s?]*)\?[^\s'\")]*", r"\1?...", text)  # a query may hold one, too
