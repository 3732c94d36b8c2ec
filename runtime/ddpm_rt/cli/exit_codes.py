"""Exit codes besides 0, 1 (a failure) and 2 (a wrong command line)."""

INTERRUPTED = 130  # 128 + SIGINT, as shells report a program that Ctrl-C ended
TERMINATED = 143  # 128 + SIGTERM
HUNG_UP = 129  # 128 + SIGHUP
DIFFERENT = 1  # `verify` found the two sides different
