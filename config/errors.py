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


class ReadOnlyServer(WarehouseUnavailable):
    """This server takes no writes (a demoted primary, a standby): leave its connections, and connect anew."""


class WarehouseUnfit(WarehouseUnavailable):
    """A table, a column or a right that loading needs is gone: others go on, this file waits until it is back."""


class Collision(WarehouseUnavailable):
    """PostgreSQL rolled this transaction back because another was in its way: repeat it, and it goes through."""


class NumberTaken(Collision):
    """PostgreSQL gave a row a number of its own that is taken: its sequence is behind."""


class DataError(PipelineError):
    """PostgreSQL refused a value: find the guilty rows, quarantine them, load the rest."""


class Stopped(PipelineError):
    """The pipeline is stopping: the load in hand was rolled back, and the file is still in its folder."""


def class_named(name: str) -> type[PipelineError]:
    """The class of this module with this name; PipelineError where there is none."""
    found = globals().get(name)
    return found if isinstance(found, type) and issubclass(found, PipelineError) else PipelineError


def class_of(error: PipelineError) -> type[PipelineError]:
    """The most special class of this module that the error is of: one that another process knows by its name."""
    return next(kind for kind in type(error).__mro__ if kind.__module__ == __name__)
