"""Where a bundle comes from: a light description that a plugin registers without opening anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmagent.errors import UserError


@dataclass(frozen=True)
class BundleSource:
    """A bundle that a plugin brings, or that lies in a directory.

    name    the word `--bundle` takes
    path    its directory, or a dotted path `package.module:attribute` to a Path or to a function giving one
    origin  where it comes from, for people: `embedded`, `yours` or a distribution's name
    """

    name: str
    path: str | Path
    origin: str

    def directory(self) -> Path:
        """The directory; a dotted path is imported now. Raises `UserError` where that fails."""
        if isinstance(self.path, Path):
            return self.path
        from importlib import import_module

        module, _, attribute = self.path.partition(":")
        try:
            found = getattr(import_module(module), attribute)
            return Path(found() if callable(found) else found)
        except Exception as error:
            raise UserError(
                f"bundle {self.name!r} cannot be reached through {self.path!r}: {error}. "
                f"Reinstall or remove {self.origin}."
            ) from error
