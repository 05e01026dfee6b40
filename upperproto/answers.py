"""
What a client may take for the answer to a text, and what is none.
"""

from __future__ import annotations

import re

# How a notice begins: a line of which the server has more to say than an answer.
# No answer can begin so, because none holds a lower-case ASCII letter.
NOTICE = re.compile(rb"([a-z][a-z0-9-]*):(?: |$)")


def mayDiffer(expected: str, answered: str) -> bool:
    """
    Tell whether a server with another version of Unicode may give another answer
    than this Python expects.

    @param expected: one character of the upper case that this Python has.
    @param answered: what came in its place.
    """
    # Few need it, and it takes a while to import.
    from unicodedata import category, ucd_3_2_0

    # A newer server knows characters, and upper cases, that this Python does not.
    if "Cn" in (category(expected), category(answered)):
        return True
    # An older one gives back what it does not know. All of them know Unicode 3.2.
    return answered.upper() == expected and "Cn" in (
        ucd_3_2_0.category(answered),
        ucd_3_2_0.category(expected),
    )


def firstDifference(text: str, answer: str) -> int | None:
    """
    Check an answer.

    @param text: what was asked.
    @param answer: what came.
    @return: the index of the first character of the answer that is wrong or
        missing; L{None} if it is right.
    """
    expected = text.upper()
    if answer == expected:
        return None
    for index, (ours, theirs) in enumerate(zip(expected, answer, strict=False)):
        if ours != theirs and not mayDiffer(ours, theirs):
            return index
    # No version of Unicode makes a text longer or shorter than another one does.
    return None if len(answer) == len(expected) else min(len(answer), len(expected))
