"""The one exception that a person is meant to read, and the commonest reason for it."""


class InputError(Exception):
    """Input that cannot be used: what is wrong, where (file and line), and what to do about it.

    The command line prints the message as one sentence and exits with code 2; nothing has been written.
    """


def require_positive(value: float, what: str) -> None:
    """Raise InputError unless the value is positive; `what` names it and says what it was."""
    if not value > 0:
        raise InputError(f"{what}: it has to be positive.")
