class RegimeError(Exception):
    """Something that the user can put right.

    The message is one line: what is wrong, with which row, file or option, and what to do.
    The command line prints it and exits with 1.
    """
