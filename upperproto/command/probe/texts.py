"""
Texts whose upper case is a known answer: each is unlike any other.
"""

from __future__ import annotations

import os

# Letters of several scripts, among them many whose upper case is longer. All are in
# Unicode 3.2, and so known to every server.
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
    Make a text that neither a loop nor a cache nor an echo can answer: it has never
    been asked before, and each of its letters has another upper case.

    It begins with a number, so that an echo of it is no notice.

    @param number: of the text, for people who look at the traffic.
    @param size: how many characters it has, 16 at least.
    """
    label = f"{number % 10000}:"
    chosen = os.urandom(len(_SCRIPTS))
    scripts = [s[byte % len(s)] for s, byte in zip(_SCRIPTS, chosen, strict=True)]
    rest = os.urandom(size - len(label) - len(scripts))
    return label + "".join(scripts) + rest.decode("latin-1").translate(_TABLE)
