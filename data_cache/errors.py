"""The one exception that a user is meant to see."""


class UserError(Exception):
    """A fault in the user's data, files or options; the message is one line with the file and the remedy."""


def from_worker(error: UserError) -> UserError:
    """Return the error in its own line: a loader gives its worker's whole traceback as text, which ends with it."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}: "
    return UserError(str(error).rstrip().splitlines()[-1].removeprefix(kind))
