"""The exit codes of every command; docs/operations.md lists them."""

EXIT_OK = 0
EXIT_FOUND = 1  # it did its work, and the answer is bad: failed files, refused rows, a difference
EXIT_CANNOT = 2  # configuration, database, arguments: it could not do its work
