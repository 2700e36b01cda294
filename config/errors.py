"""What can go wrong, classed by what the caller does next."""


class PipelineError(Exception):
    """Root of the pipeline's own errors. Their messages never carry a value of the data, only names and places."""


class ConfigError(PipelineError):
    """The configuration or the machine is not fit to start: print the message, exit with 2."""


class FileRejected(PipelineError):
    """The file as a whole can't be loaded: record it as failed, alert, go on with the next."""


class FileChanged(PipelineError):
    """The file changed or vanished while it was read: roll back, look at it again later."""


class FileUnreadable(FileChanged):
    """The disk or the network does not give the file's bytes: look at it again; say so if that doesn't help."""


class WarehouseUnavailable(PipelineError):
    """PostgreSQL can't be reached or asked to try again: wait and repeat, nothing is wrong with the file."""


class Collision(WarehouseUnavailable):
    """PostgreSQL rolled this transaction back because another was in its way: repeat it, and it goes through."""


class NumberTaken(Collision):
    """PostgreSQL gave a row a number of its own that is taken: its sequence is behind."""


class DataError(PipelineError):
    """PostgreSQL refused a value: find the guilty rows, quarantine them, load the rest."""
