"""How many, in words."""


def counted(number: int, one: str, several: str = "") -> str:
    """A number with its noun: 1 frame, 2 frames; `several` where the plural is not made by an s."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"
