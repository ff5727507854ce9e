"""What can go wrong, as a tree; each branch has the exit code that scripts rely on.

    ScgxError
    ├── MachineError   1  disk, memory, permission: the machine
    ├── UsageError     2  the command line
    ├── InputError     3  the input is not what it should be: corrupt, truncated, wrong kind or version
    ├── DataError      4  the data or the model refuse the request: no such column, wrong units
    ├── NetworkError   5  the network, after retries
    └── UnsafeError    6  refused for safety: links out of the file, pickles, absurd declared sizes

The command line turns an error into one line, `scgx CMD: FILE: WHAT (WHAT MENDS IT)`, in one place
(`cli.main`). 130, 143 and 141 (interrupt, termination, reader gone) are signals and no errors.
"""


class ScgxError(Exception):
    """An error that a user can mend: what is wrong, with which file, and what would mend it."""

    code = 1

    def __init__(self, what: str, *, fix: str | None = None, file: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.file = file

    def __str__(self) -> str:
        where = f"{self.file}: " if self.file else ""
        mends = f" ({self.fix})" if self.fix else ""
        return f"{where}{self.what}{mends}"


class MachineError(ScgxError):
    """Disk full, not enough memory, cannot write."""

    code = 1


class UsageError(ScgxError):
    """The command line does not make sense."""

    code = 2


class InputError(ScgxError):
    """The input is not what it should be."""

    code = 3


class DataError(ScgxError):
    """The data, or the model, refuse the request."""

    code = 4


class NetworkError(ScgxError):
    """The network failed, retries included."""

    code = 5


class UnsafeError(ScgxError):
    """Refused for safety."""

    code = 6


class ReaderGone(BaseException):
    """Whoever read our stdout has left (`| head`); a silent 141 and no error."""


class Terminated(BaseException):
    """SIGTERM or SIGHUP; unwinds like Ctrl-C, so that temporary files go, and exits 143 or 129."""

    def __init__(self, number: int = 15) -> None:
        super().__init__(number)
        self.number = number
