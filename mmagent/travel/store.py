"""Where bundles are shared: a repository of the Hugging Face hub, or a directory that stands for one.

An address names one bundle: a hub id (`me/kitchen`), a directory (`/srv/bundles/kitchen`, `./kitchen`, or any
that exists) or its URL (`file:///srv/bundles/kitchen`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mmagent.bundle import Bundle
from mmagent.errors import TakenError, UserError
from mmagent.files import staged
from mmagent.hub import hub_is_reachable
from mmagent.manifest import MANIFEST, parse_manifest
from mmagent.travel.members import check_sizes, check_travels, members, place_for

HUB_OWN = {".gitattributes"}  # what a repository holds without anybody having put it there

__all__ = ["pull_bundle", "push_bundle"]


def push_bundle(bundle: Bundle, to: str, *, private: bool = False, replace: bool = False) -> str:
    """Bring a bundle, verified, to an address, and return where it is now.

    What is there is left alone, unless it is a bundle and `replace` is given; a hub keeps the earlier version
    in its history. `private` is for a repository that is made now. Raises `UserError`.
    """
    bundle = Bundle.open(bundle.path)
    check_travels((bundle.path / MANIFEST).read_bytes(), f"bundle {bundle.name!r}")
    place = _directory(to)
    if place is None:
        return _to_hub(bundle, to, private=private, replace=replace)
    _copy(bundle, place, replace=replace)
    return str(place)


def pull_bundle(
    address: str, directory: str | Path | None = None, *, revision: str | None = None, replace: bool = False
) -> Bundle:
    """Fetch the bundle at an address into a directory and open it; it appears verified or not at all.

    `directory` is one of the address's last name here unless given; `revision` is a branch, tag or commit of
    a hub's repository. Raises `UserError`.
    """
    place = _directory(address)
    if place is None:
        return _from_hub(address, place_for(directory, address.split("/")[-1]), revision, replace=replace)
    if revision is not None:
        raise UserError(f"{address} is a directory, which has no revisions. Leave --revision out.")
    bundle = Bundle.open(place)
    target = place_for(directory, place.resolve().name)
    if target.resolve() == place.resolve():
        raise UserError(f"{address} is here already. Say where to put a copy with --out DIR.")
    check_travels((place / MANIFEST).read_bytes(), f"bundle {bundle.name!r}")
    return _copy(bundle, target, replace=replace)


def _directory(address: str) -> Path | None:
    """The directory that an address names; None for a hub id. Raises `UserError` for any other address."""
    parts = urlsplit(address)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
        return Path(unquote(parts.path))
    path = Path(address).expanduser()
    local = path.is_absolute() or address.startswith((".", "~")) or path.is_dir()
    if address and "://" not in address and local:
        return path
    if "://" in address or address.count("/") != 1:
        raise UserError(
            f"{address!r} names no place for a bundle. Give a hub id such as me/kitchen, a directory such as "
            "./kitchen, or file:///where/it/is."
        )
    return None


def _copy(bundle: Bundle, target: Path, *, replace: bool) -> Bundle:
    with staged(target, marker=MANIFEST, replace=replace) as staging:
        for name in members(bundle):
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path / name, staging / name)
        Bundle.open(staging)
    return Bundle.open(target, check_content=False)


def _to_hub(bundle: Bundle, repo: str, *, private: bool, replace: bool) -> str:
    names = members(bundle)
    with _told(repo):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

        api = HfApi()
        there = set(api.list_repo_files(repo)) - HUB_OWN if api.repo_exists(repo) else set()
        _refuse(repo, there, replace=replace)
        api.create_repo(repo, private=private, exist_ok=True)
        operations: list[Any] = [CommitOperationAdd(name, bundle.path / name) for name in names]
        operations += [CommitOperationDelete(name) for name in sorted(there - set(names))]
        api.create_commit(repo, operations, commit_message=f"Bundle {bundle.name} {bundle.version}".rstrip())
        return f"{api.endpoint}/{repo}"


def _refuse(repo: str, there: set[str], *, replace: bool) -> None:
    if there and MANIFEST not in there:
        raise UserError(f"{repo} holds files but no {MANIFEST}, so it is left alone. Choose another name.")
    if there and not replace:
        raise TakenError(f"{repo} holds a bundle already. Choose another name.")


def _from_hub(repo: str, target: Path, revision: str | None, *, replace: bool) -> Bundle:
    with staged(target, marker=MANIFEST, replace=replace) as staging:
        with _told(repo):
            from huggingface_hub import HfApi

            api = HfApi()
            info = api.model_info(repo, revision=revision, files_metadata=True)
            sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
            if MANIFEST not in sizes:
                raise UserError(f"{repo} holds no {MANIFEST}, so no bundle. Check the name.")

            def fetch(name: str) -> Path:
                return Path(api.hf_hub_download(repo, name, revision=info.sha, local_dir=staging))

            content = fetch(MANIFEST).read_bytes()
            manifest = parse_manifest(content, Path(), f"{repo}, {MANIFEST}")
            check_travels(content, repo)
            wanted = {MANIFEST, "README.md", *manifest.files} & sizes.keys()
            check_sizes({name: sizes[name] for name in wanted}, manifest, repo)
            for name in sorted(wanted - {MANIFEST}):
                fetch(name)
        shutil.rmtree(staging / ".cache", ignore_errors=True)  # where the hub's client keeps its notes
        Bundle.open(staging)
    return Bundle.open(target, check_content=False)


@contextmanager
def _told(repo: str) -> Iterator[None]:
    """What the hub refuses, as one sentence; what the disk refuses passes through."""
    if not hub_is_reachable():
        raise UserError(f"the hub cannot be reached for {repo}. Go online, or name a directory: ./{repo}.")
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # the client raises a dozen kinds, its transport's among them
        if isinstance(error, OSError) and error.errno is not None:
            raise
        kind = type(error).__name__
        if kind in ("GatedRepoError", "LocalTokenNotFoundError") or _status(error) in (401, 403):
            advice = "Log in with: hf auth login, with a token that may do this."
        elif kind == "RepositoryNotFoundError":
            advice = "Check the name; for a private repository log in with: hf auth login."
        else:
            advice = "Check the name, the revision and the connection."
        said = " ".join(str(error).split()) or kind
        raise UserError(f"the hub refused {repo}: {said:.200} {advice}") from error


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)
