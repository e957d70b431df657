"""`python -m vtdl_cli` and the `vtdl` script."""

import sys


def main() -> None:
    """Run the command line; a Ctrl-C while it is still being imported is no traceback either."""
    try:
        from vtdl_cli.cli import app
    except KeyboardInterrupt:
        sys.exit("error: interrupted without saving")
    app(prog_name="vtdl")


if __name__ == "__main__":
    main()
