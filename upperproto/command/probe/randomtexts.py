"""
Random texts to send, each with a known upper case.
"""

from __future__ import annotations

import os

# Letters of several scripts. The upper case of many of them is longer. All are in
# Unicode 3.2, so every server knows them.
_LONGER = "ßŉǰΐΰևẖẗẘẙẚﬀﬁﬂﬃﬄﬅﬓﬔﬕﬖﬗ"
_LATIN = "abcdefghijklmnopqrstuvwxyzàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþāăąćĉċčďđ"
_GREEK = "αβγδεζηθικλμνξοπρςστυφχψωάέήίόύώϊϋ"
_CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяѐёђѓєѕіїјљњћќѝўџ"
_ARMENIAN = "աբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆ"
_SCRIPTS = (_LONGER, _LATIN, _GREEK, _CYRILLIC, _ARMENIAN)

# One for each byte.
_ALPHABET = (_LATIN + _GREEK + _CYRILLIC + _ARMENIAN + _LONGER * 4)[:256]
_TABLE = dict(enumerate(_ALPHABET))


def unlike(number: int, size: int) -> str:
    """
    Make a text that no echo and no cache can answer: it is new, and each letter has
    an upper case that is another letter.

    It begins with a number. So an echo of it is never taken for a notice.

    @param number: of the text, for people who look at the traffic.
    @param size: how many characters it has, at least 16.
    """
    label = f"{number % 10000}:"
    chosen = os.urandom(len(_SCRIPTS))
    scripts = [s[byte % len(s)] for s, byte in zip(_SCRIPTS, chosen, strict=True)]
    rest = os.urandom(size - len(label) - len(scripts))
    return label + "".join(scripts) + rest.decode("latin-1").translate(_TABLE)
