"""``python -m mmagent_cli``: the same as ``mmagent``."""

from mmagent_cli.app import app

app()
