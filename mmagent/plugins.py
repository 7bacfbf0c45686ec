"""Finding and loading plugins, so that one broken plugin never stops a command.

Every entry point of the group ``mmagent`` is loaded on its own, and its hooks are called without the others':
whatever one raises puts that one out, with a reason and a way to mend it, and the rest goes on. A plugin is
taken whole or not at all. Our own distribution is loaded first, so a stranger that claims one of its names is
the one out.
"""

from __future__ import annotations

import contextlib
import importlib
import keyword
import re
import sys
import time
from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from mmagent import hookspecs
from mmagent.adapter import AdapterFamily
from mmagent.entrypoints import EntryPoint, find_entry_points
from mmagent.errors import UserError, did_you_mean
from mmagent.modality import Modality
from mmagent.source import BundleSource
from mmagent.training.preset import Preset

if TYPE_CHECKING:
    import typer

    Thing = Modality | AdapterFamily | BundleSource | Preset

__all__ = ["RESERVED", "PluginInfo", "PluginProblem", "Plugins", "load_plugins"]

SLOW_SECONDS = 0.5
OWN = "mmagent"
HOOKS = [name for name in vars(hookspecs) if name.startswith("register_")]

# Words that options, row keys and keyword arguments of `ask` already mean, so no modality can be called so.
RESERVED = frozenset(
    "question shot shots memory choices bundle core prompt device dtype load_in max_tokens temperature top_p"
    " seed json batch out resume trust_remote_code debug help version on_text context_shots answer confidence"
    " error text label caption answers split".split()
)


class PluginProblem(NamedTuple):
    """What is wrong with one plugin, and how to mend it.

    plugin        the entry point's name
    distribution  what to hand to pip, with its version
    reason        what is wrong, as a clause
    mend          what to do, as a clause
    """

    plugin: str
    distribution: str
    reason: str
    mend: str

    def line(self, state: str = "is out") -> str:
        """The one line that every command prints about it."""
        return f"plugin {self.plugin!r} ({self.distribution}) {state}: {self.reason}. To mend: {self.mend}"


class PluginInfo(NamedTuple):
    """One row of ``mmagent plugins``; `state` is ``ok``, ``out`` or ``slow (1.2 s)``.

    module  what its entry point names
    """

    name: str
    version: str
    distribution: str
    state: str
    brings: tuple[str, ...]
    module: str = ""


class _Candidate:
    """An entry point before it is trusted, and afterwards what it brought."""

    def __init__(self, entry: EntryPoint) -> None:
        self.entry = entry
        self.ours = entry.distribution == OWN
        self.seconds = 0.0
        self.brings: list[Thing] = []
        self.commands: list[str] = []
        self.plugin: Any = None  # what the entry point names; None while, or when, the plugin is out

    def removal(self) -> str:
        """How to get rid of it, or of the trouble with it."""
        if self.ours:
            return (
                "reinstall mmagent (pip install --force-reinstall mmagent; in a checkout: pip install -e .)"
            )
        name = self.entry.distribution
        return f"update it (pip install -U {name}) or remove it (pip uninstall {name})"

    def problem(self, reason: str, mend: str | None = None) -> PluginProblem:
        owner = f"{self.entry.distribution} {self.entry.version}"
        return PluginProblem(self.entry.name, owner, reason, mend or self.removal())


class _Manager(pluggy.PluginManager):
    """One for all plugins, so that what is fixed is looked at once; it reads modules without `inspect`.

    Twenty plugins would otherwise cost every command a twentieth of its time.
    """

    def __init__(self) -> None:
        super().__init__(hookspecs.PROJECT)
        self.add_hookspecs(hookspecs)

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """What `hookimpl` noted on a function; of a module no attribute is computed, so it may be fetched."""
        if not isinstance(plugin, ModuleType):
            return super().parse_hookimpl_opts(plugin, name)
        noted = getattr(vars(plugin).get(name), f"{hookspecs.PROJECT}_impl", None)
        return noted if isinstance(noted, dict) else None  # type: ignore[return-value]


class _Refused(Exception):
    """A plugin breaks a rule of the boundary; carries the reason and the way to mend it."""

    def __init__(self, reason: str, mend: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.mend = reason, mend


class Plugins:
    """What all working plugins bring, by name, and what is wrong with the others.

    modalities, adapters, bundles, presets  what was registered, by name
    problems  plugins that are out
    slow      strangers' plugins that work but took over half a second to import
    """

    def __init__(self) -> None:
        self.modalities: dict[str, Modality] = {}
        self.adapters: dict[str, AdapterFamily] = {}
        self.bundles: dict[str, BundleSource] = {}
        self.presets: dict[str, Preset] = {}
        self.problems: list[PluginProblem] = []
        self.slow: list[PluginProblem] = []
        self._candidates: list[_Candidate] = []
        self._manager = _Manager()

    def listing(self) -> list[PluginInfo]:
        """One row for every plugin that was found, working or not, mmagent's own first."""
        rows = []
        for one in self._candidates:
            state = "out" if one.plugin is None else "ok"
            if one.plugin is not None and one.seconds > SLOW_SECONDS:
                state = f"slow ({one.seconds:.1f} s)"
            brings = tuple(f"{_kind(thing)} {thing.name}" for thing in one.brings)
            brings += tuple(f"command {name}" for name in one.commands)
            told = (one.entry.name, one.entry.version, one.entry.distribution, state, brings)
            rows.append(PluginInfo(*told, one.entry.value))
        return rows

    def bringer(self, modality: str) -> PluginInfo:
        """The plugin that brings a modality. Raises KeyError where none does."""
        wanted = self.modalities[modality]
        at = next(
            at for at, one in enumerate(self._candidates) if any(wanted is thing for thing in one.brings)
        )
        return self.listing()[at]

    def resolve(self, dotted: str) -> Any:
        """Import what a plugin named by dotted path, ``"package.module:attribute"``.

        Raises:
            UserError: it cannot be imported; the message names the plugin and the way to mend it.
        """
        module, _, attribute = dotted.partition(":")
        try:
            with contextlib.redirect_stdout(sys.stderr):
                found: Any = importlib.import_module(module)
            for part in filter(None, attribute.split(".")):
                found = getattr(found, part)
        except (KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:
            raise UserError(self._unresolved(dotted, error)) from error
        return found

    def register_commands(self, app: typer.Typer) -> None:
        """Let every working plugin add its commands to `app`; one that fails here is out as a whole."""
        import typer.main

        taken = {info.name for info in app.registered_commands} | {
            info.name for info in app.registered_groups
        }
        for one in self._candidates:
            if one.plugin is None or not (hook := self._hook(one, "register_commands")).get_hookimpls():
                continue
            stage = typer.Typer(rich_markup_mode=None)
            stage.callback()(_nothing)
            with self._isolated(one):
                hook(app=stage)
                names = list(typer.main.get_group(stage).commands)
                for name in names:
                    if name in taken:
                        raise _Refused(
                            f"the command {name!r} exists already", f"rename it there, or {one.removal()}"
                        )
                one.commands = names
                taken.update(names)
                app.registered_commands.extend(stage.registered_commands)
                app.registered_groups.extend(stage.registered_groups)

    def _load(self, one: _Candidate) -> None:
        self._candidates.append(one)
        with self._isolated(one):
            if any(other.entry.name == one.entry.name for other in self._candidates[:-1]):
                raise _Refused(
                    f"a plugin called {one.entry.name!r} is there already", f"rename it, or {one.removal()}"
                )
            self._import(one)
            kinds = (Modality, AdapterFamily, BundleSource, Preset)
            hooks = ("register_modalities", "register_adapters", "register_bundles", "register_presets")
            for hook, kind in zip(hooks, kinds, strict=True):
                self._hook(one, hook)(register=partial(_bring, one, kind))
            self._take(one)
            if one.seconds > SLOW_SECONDS and not one.ours:
                reason = (
                    f"importing {one.entry.value} took {one.seconds:.1f} s, which every command waits for"
                )
                mend = f"import heavy modules where they are used, {one.removal()}"
                self.slow.append(one.problem(reason, mend))

    def _import(self, one: _Candidate) -> None:
        """Import one plugin and check its hooks. Raises `_Refused`, or whatever its import raises."""
        start = time.perf_counter()
        try:
            one.plugin = one.entry.load()
        finally:
            one.seconds = time.perf_counter() - start
        self._manager.register(one.plugin, name=one.entry.name)
        named = [caller.name for caller in self._manager.get_hookcallers(one.plugin) or ()]
        for name in named:
            if name not in HOOKS:
                hint = did_you_mean(name, HOOKS)
                raise _Refused(
                    f"there is no hook {name!r}.{hint} There are: {', '.join(HOOKS)}",
                    f"rename it, or {one.removal()}",
                )
        self._manager.check_pending()
        if not named:
            hint = "mark its register_... functions with @hookimpl from mmagent.hookspecs"
            raise _Refused(f"{one.entry.value} implements no hook", f"{hint}, or {one.removal()}")

    def _hook(self, one: _Candidate, name: str) -> pluggy.HookCaller:
        """A hook as one plugin alone implements it."""
        others = [other.plugin for other in self._candidates if other is not one and other.plugin is not None]
        return self._manager.subset_hook_caller(name, others)

    def _take(self, one: _Candidate) -> None:
        """Enter what a plugin brought, or nothing at all if a name is taken."""
        fresh: list[tuple[dict[str, Any], Thing]] = []
        for thing in one.brings:
            room: dict[str, Any] = self._room(thing)
            if thing.name in room or any(thing.name == new.name and room is there for there, new in fresh):
                raise _Refused(
                    f"the {_kind(thing)} {thing.name!r} exists already",
                    f"rename it there, or {one.removal()}",
                )
            fresh.append((room, thing))
        for room, thing in fresh:
            room[thing.name] = thing

    def _room(self, thing: Thing) -> dict[str, Any]:
        rooms: dict[str, dict[str, Any]] = {
            "modality": self.modalities,
            "adapter": self.adapters,
            "bundle": self.bundles,
            "preset": self.presets,
        }
        return rooms[_kind(thing)]

    @contextlib.contextmanager
    def _isolated(self, one: _Candidate) -> Iterator[None]:
        """Turn whatever the plugin raises, `SystemExit` included, into a problem; withdraw all it brought."""
        try:
            with contextlib.redirect_stdout(sys.stderr):  # a plugin's print must not spoil --json
                yield
            return
        except KeyboardInterrupt:
            raise
        except _Refused as refused:
            problem = one.problem(refused.reason, refused.mend)
        except ModuleNotFoundError as error:
            missing = f"install what it needs (the module {error.name!r} is missing), {one.removal()}"
            problem = one.problem(_sentence(error), missing if error.name else None)
        except BaseException as error:
            problem = one.problem(_sentence(error))
        self.problems.append(problem)
        self._withdraw(one)

    def _withdraw(self, one: _Candidate) -> None:
        for thing in one.brings:
            room = self._room(thing)
            if room.get(thing.name) is thing:
                del room[thing.name]
        if one.plugin is not None and self._manager.is_registered(one.plugin):
            self._manager.unregister(one.plugin)
        one.brings, one.commands, one.plugin = [], [], None
        self.slow = [problem for problem in self.slow if problem.plugin != one.entry.name]

    def _unresolved(self, dotted: str, error: BaseException) -> str:
        """The sentence for a dotted path that cannot be imported."""
        for one in self._candidates:
            named = (getattr(thing, key, None) for thing in one.brings for key in ("reader", "build", "path"))
            if dotted in named:
                return one.problem(f"{dotted} cannot be used: {_sentence(error)}").line("fails")
        return f"{dotted} cannot be imported: {_sentence(error)}"


def load_plugins() -> Plugins:
    """Load every installed plugin, mmagent's own first, each on its own. Raises nothing a plugin raised."""
    plugins = Plugins()
    candidates = [_Candidate(entry) for entry in find_entry_points(hookspecs.PROJECT)]
    candidates.sort(key=lambda one: (not one.ours, one.entry.distribution, one.entry.name))
    if not any(one.ours for one in candidates):
        reason = "the entry points of mmagent itself are not installed"
        mend = "pip install mmagent, or pip install -e . in a checkout"
        plugins.problems.append(PluginProblem(OWN, OWN, reason, mend))
    for one in candidates:
        plugins._load(one)
    return plugins


def _bring(one: _Candidate, kind: type[Any], thing: Any) -> None:
    """Note what a plugin registered through a hook."""
    one.brings.append(_checked(thing, kind))


def _checked(thing: Any, kind: type[Any]) -> Any:
    """What a plugin registered, if it is of the right type and its name can be used."""
    if not isinstance(thing, kind):
        raise _Refused(f"it registers a {type(thing).__name__} where a {kind.__name__} belongs")
    name = str(thing.name)
    if isinstance(thing, Modality) and (
        not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name)
    ):
        raise _Refused(
            f"a modality cannot be called {name!r}: lower-case letters, digits and _ make an option of it"
        )
    if isinstance(thing, Modality) and name in RESERVED:
        raise _Refused(f"a modality cannot be called {name!r}: `mmagent ask` uses that word already")
    if isinstance(thing, AdapterFamily) and "+" in name:
        raise _Refused(f"an adapter family cannot be called {name!r}: a + combines two families")
    return thing


def _kind(thing: Thing) -> str:
    if isinstance(thing, Modality):
        return "modality"
    if isinstance(thing, Preset):
        return "preset"
    return "adapter" if isinstance(thing, AdapterFamily) else "bundle"


def _sentence(error: BaseException) -> str:
    """An exception as one short line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:200] if text else type(error).__name__


def _nothing() -> None:
    """Commands of a plugin."""
