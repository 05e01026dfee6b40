from typing import Any


def chooseLogObserver(parent: Any) -> None: ...
