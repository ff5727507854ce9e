"""`python -m scgx` and the console script are the same thing."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is somebody to catch it

from scgx.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
