"""The core: a frozen causal language model of any family that transformers loads.

Weights come from safetensors only and must fit exactly: a missing, unexpected or mismatched tensor is an
error, never a randomly initialised layer. The model is frozen, in `eval()` for good, and nothing here writes
to it. An adapter may be built into it (`bend`): its tensors are its own, the core's stay what they are.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from mmagent.core import decode, quantised, score
from mmagent.core.assemble import Inputs, Row, assemble, check_room, read
from mmagent.core.cache import PrefixCache
from mmagent.core.dtype import choose_device, choose_dtype
from mmagent.core.forward import Forward
from mmagent.core.location import checked_location, demand_causal, demand_exact, explained, one_line
from mmagent.core.own import OwnTensors
from mmagent.core.positions import max_positions
from mmagent.core.prefill import read_beginning
from mmagent.core.prompt import Prompt
from mmagent.core.room import demand_room
from mmagent.core.tokens import Tokens, load_tokenizer
from mmagent.dense import quicken
from mmagent.errors import MMAgentError, UserError
from mmagent.hub import local_only as only_here
from mmagent.hub import quiet

__all__ = ["Core"]

_count = itertools.count()


class Core:
    """A frozen language model and its tokenizer.

    model, tokenizer: the transformers objects.
    device, dtype: where and in which numbers it computes; dtype_reason says why in one line.
    load_in: "8bit" or "4bit" where its matrices are quantised, else None. sharded: whether each process of a
        run holds a part of it, so that all make every pass together.
    shares_beginnings: whether its attention takes a beginning that rows share (`can_share`); None: not tried.
    d_core: width of the input embeddings, which soft tokens must have.
    max_positions: how many tokens it reads, or None where its positions have no end.
    eos: ids that end an answer.
    adapter: what is built into it (`bend`), or None.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        dtype_reason: str = "as given",
        load_in: str | None = None,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        # an instance attribute wins over the method: train() on a module that contains the core stops here
        self.model.train = lambda mode=True: self.model
        self.tokenizer = tokenizer
        self.tokens = Tokens(tokenizer)
        self.embed = model.get_input_embeddings()
        self.device: torch.device = self.embed.weight.device
        self.dtype: torch.dtype = self.embed.weight.dtype
        self.dtype_reason = dtype_reason
        self.load_in = load_in
        self.sharded = False
        self.shares_beginnings: bool | None = None
        self.vocab_size, self.d_core = (int(n) for n in self.embed.weight.shape)
        self.max_positions = _max_positions(model.config)
        self.eos = _eos(model, tokenizer)
        quicken(model)
        self.forward = Forward(model)
        self.adapter: nn.Module | None = None
        self._own = OwnTensors(model)
        self._number = next(_count)
        self._versions = self._written()
        if not self.forward.takes_embeds:
            raise UserError(
                f"{type(model).__name__} takes no input embeddings, so it cannot be given senses."
            )

    @classmethod
    def load(
        cls,
        location: str | Path,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        load_in: str | None = None,
        trust_remote_code: bool = False,
        local_only: bool = False,
    ) -> Core:
        """Load a model directory or hub id.

        Unless given, the device is the best there is and the dtype what that device computes fast. load_in:
        "8bit" or "4bit" quantises its matrices through bitsandbytes.

        Raises UserError where there is no such model, it is no causal language model, it holds no
        safetensors, its tensors do not fit its config exactly, or it brings code of its own that was not
        trusted.
        """
        where = checked_location(location)
        on = choose_device(device)
        here = local_only or only_here(where)
        options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": here}
        with quiet(), explained(where, here):
            config = AutoConfig.from_pretrained(where, **options)
            demand_causal(where, config)
            chosen, reason = choose_dtype(on, dtype, width=_width(config))
            packed = quantised.options(load_in, on, chosen)
            demand_room(where, on, chosen, load_in)
            tokenizer = load_tokenizer(where, options)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                where,
                config=config,
                dtype=chosen,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that they are all reported, below
                **options,
                **packed,
            )
        model, report = loaded
        demand_exact(where, report)
        if getattr(model.config, "is_encoder_decoder", False):
            raise UserError(
                f"{where} is an encoder-decoder; a core is a causal (decoder-only) language model."
            )
        placed = model if packed else model.to(on)  # a quantised model was made where it is to be
        quantised.keep_layout(placed)
        return cls(placed, tokenizer, dtype_reason=reason, load_in=load_in)

    @property
    def numbers(self) -> str:
        """In which numbers it computes, and what its matrices are kept in: `float32`, `4bit in bfloat16`."""
        name = str(self.dtype).removeprefix("torch.")
        return f"{self.load_in} in {name}" if self.load_in else name

    def assemble(self, prompts: Sequence[Prompt | str | Row]) -> Inputs:
        """Turn prompts into one left-padded batch of input embeddings.

        Raises UserError for an empty prompt, a prefix of another width, a prompt longer than the core reads.
        """
        return assemble(self, prompts)

    def generate(
        self,
        prompts: Sequence[Prompt | str | Row],
        *,
        max_tokens: int = 32,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        on_text: decode.OnText | None = None,
        mixers: Sequence[decode.Mixer | None] | None = None,
        cache: PrefixCache | None = None,
    ) -> list[decode.Generation]:
        """Continue each prompt by at most `max_tokens` tokens, greedily unless a temperature is given.

        An answer ends before the first of the `stop` strings, or at end of text. `on_text(row, text)` is
        called with pieces of text as they become certain. Each row draws from its own generator, seeded with
        `seed`, so a batched answer equals the single one. `cache` keeps KV states between calls.

        Raises UserError where a prompt and its answer are longer than the core reads, and for bad options.
        """
        sampling = decode.Sampling(temperature, top_p, seed)
        return decode.generate(
            self,
            prompts,
            max_tokens=max_tokens,
            sampling=sampling,
            stop=stop,
            on_text=on_text,
            mixers=mixers,
            cache=cache,
        )

    def read_beginning(self, prompts: Sequence[Prompt | str | Row], cache: PrefixCache) -> None:
        """Read what all prompts begin with into the cache, where it is long enough to be worth it.

        Calls of `generate` and `score` in several threads then find it there. Raises UserError as they do.
        """
        rows = [read(self, prompt) for prompt in prompts]
        check_room(self, rows, 0)
        read_beginning(self, rows, cache)

    def score(
        self,
        prompts: Sequence[Prompt | str | Row],
        choices: Sequence[Sequence[str]],
        *,
        cache: PrefixCache | None = None,
        mixers: Sequence[decode.Mixer | None] | None = None,
    ) -> list[list[score.ChoiceScore]]:
        """Log-probability of each choice as the continuation of its prompt, in the order given.

        A choice is read as it would stand after the prompt: with a space before it, unless there is
        whitespace. A mixer is applied at every position of a choice.

        Raises UserError where a prompt and a choice are longer than the core reads, and for an empty choice.
        """
        return score.score(self, prompts, choices, cache=cache, mixers=mixers)

    def loss(self, prompts: Sequence[Prompt | str | Row], targets: Sequence[str]) -> Tensor:
        """Mean cross-entropy over the target tokens of the batch, differentiable in `Soft.embeds`.

        A target is read as a choice is in `score`; one that should end its line ends in a newline itself.
        """
        return score.loss(self, prompts, targets)

    def chat(self, text: str) -> str:
        """Wrap a rendered prompt as one user turn, where the tokenizer has a chat template."""
        if not getattr(self.tokenizer, "chat_template", None):
            return text
        turns = [{"role": "user", "content": text}]
        try:
            wrapped = str(
                self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            )
        except Exception as error:
            raise MMAgentError(
                f"the core's chat template fails on a single user turn: {one_line(error)}"
            ) from error
        first = self.tokenizer.decode(list(self.tokens.bos))
        return wrapped.removeprefix(first) if first else wrapped  # `assemble` puts it there

    def bend(self, build: Callable[[Any], nn.Module]) -> nn.Module:
        """Let an adapter build itself into the model, and return it, frozen and in `eval()`.

        build: is given the model and returns a `mmagent.adapter.CoreAdapter`; the core's own tensors must
        come out of it as they were. Whoever trains it unfreezes the adapter, which is the only thing that
        `assert_frozen` lets be trained. Raises UserError where there is one already, or it cannot be built.
        """
        if self.adapter is not None:
            raise UserError("an adapter is built into this core already. Merge it, or load the core anew.")
        self.adapter = build(self.model).eval().requires_grad_(False)
        self._number = next(_count)
        self.assert_frozen()
        return self.adapter

    def straighten(self) -> None:
        """Take out what `bend` built in, if anything; the core is as it came."""
        if self.adapter is not None:
            adapter: Any = self.adapter
            adapter.remove()
            self.adapter = None
            self._number = next(_count)
            self.assert_frozen()

    @property
    def owner(self) -> str:
        """Keeps this core's states apart in a shared PrefixCache; it changes with the adapter's weights."""
        if self.adapter is None:
            return f"core-{self._number}"
        return f"core-{self._number}-{sum(tensor._version for tensor in self.adapter.parameters())}"

    def became_sharded(self, device: torch.device) -> None:
        """Note that the model was spread over the processes of a run, this one's part being on `device`."""
        self.sharded, self.device = True, device
        self._versions = self._written()

    def fingerprint(self) -> str:
        """SHA-256 over all parameters and buffers that a checkpoint holds: names, dtypes, shapes, values.

        They are the core's own, an adapter that is built in does not count. Of a sharded core it is that of
        the whole, and all processes ask for it together.
        """
        digest = hashlib.sha256()
        for name, tensor in sorted(self._own().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            whole = getattr(tensor, "full_tensor", None)  # of a sharded one
            data: Any = (whole() if whole else tensor).detach().cpu().contiguous().flatten()
            digest.update(memoryview(data.view(torch.uint8).numpy()) if data.numel() else b"")
        return digest.hexdigest()

    def assert_frozen(self) -> None:
        """Raise MMAgentError if a parameter would be trained, a module trains, or a tensor was written to.

        The adapter that `bend` built in may train; nothing else may, and nothing else may have been built in.
        Costs nothing: writes are seen by the tensors' version counters. `fingerprint` compares the values
        themselves.
        """
        let = set() if self.adapter is None else {id(parameter) for parameter in self.adapter.parameters()}
        trained = [n for n, p in self.model.named_parameters() if p.requires_grad and id(p) not in let]
        strangers = self._own.strangers() if self.adapter is None else []
        now = self._written()
        written = [name for name, version in self._versions.items() if now.get(name) != version]
        for what, names in (
            ("is in training mode", self._own.training()),
            ("is set to be trained", trained),
            ("was built in", strangers),
            ("was written to", written),
        ):
            if names:
                raise MMAgentError(
                    f"the core is frozen, but {names[0] or 'the model'} {what} ({len(names)} in all)."
                )

    def _written(self) -> dict[str, tuple[int, int]]:
        """Where each own tensor lies and how often it was written to in place."""
        if self.sharded:  # layers are put together and let go of in every pass
            return {}
        return {name: (tensor.data_ptr(), tensor._version) for name, tensor in self._own.held().items()}


def _max_positions(config: Any) -> int | None:
    text = config.get_text_config(decoder=True)
    return max_positions(lambda name: getattr(text, name, None))


def _width(config: Any) -> int:
    """The hidden size; the least that tells anything where the config does not have it by a usual name."""
    text = config.get_text_config(decoder=True)
    return max(64, int(getattr(text, "hidden_size", None) or 0))


def _eos(model: Any, tokenizer: Any) -> frozenset[int]:
    """Ids that end a text, of the generation config, the config and the tokenizer together."""
    sources = (getattr(model, "generation_config", None), model.config, tokenizer)
    ids: set[int] = set()
    for source in sources:
        value = getattr(source, "eos_token_id", None)
        ids.update(value if isinstance(value, list | tuple) else [] if value is None else [value])
    return frozenset(ids)
