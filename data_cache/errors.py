"""The one exception that a user is meant to see."""


class UserError(Exception):
    """A fault in the user's data, files or options; the message is one line with the file and the remedy."""
