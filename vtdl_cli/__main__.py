"""`python -m vtdl_cli` and the `vtdl` script."""


def main() -> None:
    """Run the command line."""
    from vtdl_cli.cli import app

    app(prog_name="vtdl")


if __name__ == "__main__":
    main()
