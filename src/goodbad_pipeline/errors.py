"""The one exception for what a user can put right."""


class InputError(ValueError):
    """A file, parameter or request that breaks a rule.

    The message is one line: it names what is wrong, the rule and the value received, and says what to do. The command
    line prints that line alone and exits with status 1; no traceback, because nothing is wrong with the code.
    """
