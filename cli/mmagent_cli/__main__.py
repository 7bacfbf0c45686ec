"""The process: ``mmagent``, or ``python -m mmagent_cli``, from the first import to its end."""

import gc

__all__ = ["run"]


def run() -> None:
    """Import the command and run it. Of what is imported nothing is garbage, so none is looked for."""
    gc.disable()
    from mmagent_cli.app import app

    gc.freeze()
    gc.enable()
    app()


if __name__ == "__main__":
    run()
