"""Where a core lies, and whether what lies there is one: what is wrong is said in a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from mmagent.errors import UserError

__all__ = ["checked_location", "demand_causal", "demand_exact", "explained", "one_line"]


def checked_location(location: str | Path) -> str:
    """A model directory or a hub id, as transformers takes it. Raises UserError for anything else."""
    path = Path(location).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"{path} is not a model directory: it has no config.json.")
        return str(path)
    looks_like_path = isinstance(location, Path) or str(location).startswith((".", "/", "~"))
    if path.exists() or looks_like_path or str(location).count("/") > 1:
        what = "is a file" if path.exists() else "does not exist"
        raise UserError(
            f"no core at {location}: it {what}. Give a model directory or a hub id such as org/name."
        )
    return str(location)


@contextlib.contextmanager
def explained(where: str, here: bool) -> Iterator[None]:
    """Turn what loading raises into one line with what to do; `here`: the hub is out of reach."""
    try:
        yield
    except SafetensorError as error:
        raise UserError(
            f"the weights of {where} are damaged ({one_line(error)}): fetch them again."
        ) from error
    except OSError as error:
        if not Path(where).is_dir() and here:
            raise UserError(
                f"there is no core {where}: no such directory, nothing of that id in the hub's cache here, "
                "and the hub cannot be reached. Give a directory, or go online."
            ) from error
        raise UserError(f"no core could be loaded from {where}: {one_line(error)}") from error
    except (ValueError, KeyError, ImportError, RuntimeError) as error:
        if "trust_remote_code" in str(error):
            advice = "pass --trust-remote-code (trust_remote_code=True) if you trust its author"
            raise UserError(f"{where} brings code of its own: {advice}.") from error
        raise UserError(f"{where} does not load as a causal language model: {one_line(error)}") from error


def demand_causal(where: str, config: Any) -> None:
    """Raise UserError for a model of a kind that writes no text, such as one that sees."""
    own_code = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not own_code:
        raise UserError(
            f"{where} holds a {config.model_type} model, which is no causal language model. A core is one, "
            "such as Llama, GPT-2, Qwen, Gemma or Mistral; one that senses is an --encoder of mmagent train."
        )


def demand_exact(where: str, report: Mapping[str, Any]) -> None:
    """Raise UserError unless the checkpoint's tensors are those of the model, each of the right shape."""
    kinds = {
        "missing_keys": "missing",
        "mismatched_keys": "of another shape",
        "unexpected_keys": "unexpected",
    }
    problems = []
    for kind, word in kinds.items():
        names = sorted(str(key if isinstance(key, str) else key[0]) for key in report.get(kind) or ())
        if names:
            problems.append(f"{len(names)} {word} ({names[0]}{', ...' if len(names) > 1 else ''})")
    problems += [one_line(error) for error in report.get("error_msgs") or ()]
    if problems:
        raise UserError(
            f"the weights of {where} do not fit its config: {'; '.join(problems)}. "
            "Nothing is filled in at random: fetch the checkpoint again or correct its config.json."
        )


def one_line(error: object) -> str:
    """What an error says, in one line."""
    return f"{' '.join(str(error).split()) or type(error).__name__:.300}"
