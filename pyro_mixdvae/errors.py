"""The one exception that a person is meant to read."""


class InputError(Exception):
    """Input that cannot be used: what is wrong, where (file and line), and what to do about it.

    The command line prints the message as one sentence and exits with code 2; nothing has been written.
    """
