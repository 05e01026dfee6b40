"""
Split the description of an endpoint into the faults and the endpoint that has them.
"""

from __future__ import annotations

from twisted.internet.endpoints import quoteStringArgument

from upperproto.faults.settings import READERS

Fields = list[tuple[str | None, str]]


def fields(description: str) -> Fields:
    """
    Split a description as Twisted does. Colons separate fields. A field may have a name
    and an equals sign before its value. A character after a backslash has no special
    meaning.
    """
    found: Fields = []
    name: str | None = None
    value = ""
    characters = iter(description)
    for character in characters:
        if character == "\\":
            value += next(characters, "")
        elif character == "=" and name is None:
            name, value = value, ""
        elif character == ":":
            found.append((name, value))
            name, value = None, ""
        else:
            value += character
    return [*found, (name, value)]


def separateFaults(description: str) -> tuple[Fields, str]:
    """
    Separate the faults that a description asks for from the endpoint that has them.

    @param description: a server endpoint, with or without C{fault:} before it.
    @return: the fields of C{fault:} and its faults (empty without C{fault:}), and the
        description of the endpoint without these fields.
    """
    [first, *rest] = fields(description)
    if first[0] is not None or first[1].lower() != "fault":
        return [], description
    # As in Twisted, named fields may stand in any place.
    faults = [field for field in rest if field[0] in READERS]
    return [first, *faults], join([field for field in rest if field not in faults])


def join(fields: Fields) -> str:
    """
    Join fields to a description.
    """
    return ":".join(
        quoteStringArgument(value)
        if name is None
        else f"{name}={quoteStringArgument(value)}"
        for name, value in fields
    )
