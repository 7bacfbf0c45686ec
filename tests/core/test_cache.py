"""The prefix cache: what it shares, what it keeps apart, what it forgets, and the work it saves."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
import torch

from mmagent.core import Core, PrefixCache, Soft
from mmagent.core.cache import gather, shared_length
from mmagent.core.forward import KV

SHOTS = "Question: what is this?\nAnswer: dax\n\n" * 3


def states(keys: list[int | str]) -> Callable[[int, int], KV]:
    """States that tell which key they belong to: one layer of one head, width 1."""

    def part(start: int, stop: int) -> KV:
        values = torch.tensor([float(hash(key) % 1000) for key in keys[start:stop]])[None, :, None]
        return [(values.clone(), -values)]

    return part


def put(cache: PrefixCache, keys: list[int | str], owner: str = "core") -> None:
    cache.insert(owner, keys, states(keys))


def test_the_longest_common_beginning_is_found_and_given_back() -> None:
    cache = PrefixCache()
    put(cache, [1, 2, 3, 4, 5])
    put(cache, [1, 2, 3, "a:0", "a:1", 9])
    put(cache, [1, 2, 7])
    assert len(cache) == 9  # shared runs are held once
    assert cache.n_bytes == 9 * 2 * 4
    for keys, length in (([1, 2, 3, 4, 8], 4), ([1, 2, 3, "a:0", "b:1"], 4), ([1, 2, 7, 7], 3), ([4], 0)):
        match = cache.match("core", keys)
        assert match.length == length
        if length:
            found = gather([match], length, [0])[0][0].flatten()
            assert torch.equal(found, states(keys)(0, length)[0][0].flatten())


def test_states_are_laid_out_for_left_padded_rows() -> None:
    cache = PrefixCache()
    alike: list[int | str] = [1, 2, 3, 4, 5, 6]  # three of them are laid out in one go
    rows: list[list[int | str]] = [
        alike,
        [*alike[:5], 7],
        [*alike[:5], 8],
        [1, 2, 8],
        [9, 8, 7, 6],
        [9, 8, 7, 5],
    ]
    for row in rows:
        put(cache, row)
    width, columns = 7, 5
    starts = [width - len(row) for row in rows]
    keys, values = gather([cache.match("core", row) for row in rows], columns, starts)[0]
    assert keys.shape == (6, 1, columns, 1)
    for i, (row, start) in enumerate(zip(rows, starts, strict=True)):
        expected = states(row)(0, columns - start)[0][0].flatten()
        assert torch.equal(keys[i, 0, start:, 0], expected)
        assert torch.equal(values[i, 0, start:, 0], -expected)


def test_what_was_laid_out_serves_the_next_batch_of_the_same_rows_once_it_is_free() -> None:
    class User:
        pass

    cache = PrefixCache()
    put(cache, [1, 2, 3, 4])
    put(cache, [1, 2, 8])
    same, other = cache.match("core", [1, 2, 3, 4]), cache.match("core", [1, 2, 8])
    assert cache.lay_out([same] * 3, 4, [0] * 3, 2) is not cache.lay_out([same] * 3, 4, [0] * 3, 2)
    with cache.keeping_layouts():
        user = User()
        first = cache.lay_out([same] * 3, 4, [0] * 3, 2)
        first.user = weakref.ref(user)
        assert cache.lay_out([same] * 3, 4, [0] * 3, 2) is not first  # somebody reads and writes it
        first = cache.lay_out([same] * 3, 4, [0] * 3, 2)
        first.user = weakref.ref(user)
        del user
        assert cache.lay_out([same] * 2, 4, [0] * 2, 2) is first
        assert [keys.shape[0] for keys, _ in first.rows(2)] == [2]
        for matches, columns, reserve in (([same] * 4, 4, 2), ([same] * 3, 3, 2), ([same] * 3, 4, 3)):
            assert not first.serves(matches, (columns, reserve, (0,) * len(matches)))
        assert not first.serves([other] * 3, (4, 2, (0,) * 3))
        assert not first.serves([same] * 3, (4, 2, (0, 1, 0)))


def test_cores_are_kept_apart() -> None:
    cache = PrefixCache()
    put(cache, [1, 2, 3], owner="one")
    assert cache.match("other", [1, 2, 3]).length == 0


def test_what_was_used_longest_ago_goes_first() -> None:
    cache = PrefixCache(max_bytes=8 * 10)
    put(cache, [1, 2, 3, 4])
    put(cache, [1, 2, 5, 6])
    put(cache, [7, 8, 9])
    cache.match("core", [1, 2, 3, 4])
    put(cache, [10, 11])
    assert cache.n_bytes <= cache.max_bytes
    kept = {keys: cache.match("core", list(keys)).length for keys in ((1, 2, 3, 4), (1, 2, 5, 6), (7, 8, 9))}
    assert kept == {(1, 2, 3, 4): 4, (1, 2, 5, 6): 2, (7, 8, 9): 3}


def test_what_is_larger_than_the_cache_is_not_kept() -> None:
    cache = PrefixCache(max_bytes=16)
    put(cache, [1])
    put(cache, [2, 3, 4, 5])
    assert cache.match("core", [2, 3, 4, 5]).length == 0
    assert cache.match("core", [1]).length == 1


def test_a_cache_of_no_size_or_a_cleared_one_still_answers_right(llama: Core) -> None:
    prompts = [SHOTS + "Answer:", SHOTS + "Caption:"] * 6
    expected = [a.token_ids for a in llama.generate(prompts, max_tokens=4)]
    cache = PrefixCache(max_bytes=0)
    assert [a.token_ids for a in llama.generate(prompts, max_tokens=4, cache=cache)] == expected
    assert len(cache) == 0
    cache = PrefixCache()
    llama.generate(prompts, max_tokens=4, cache=cache)
    cache.clear()
    assert (len(cache), cache.n_bytes) == (0, 0)
    assert [a.token_ids for a in llama.generate(prompts, max_tokens=4, cache=cache)] == expected


@pytest.mark.parametrize(
    ("rows", "length"), [([[1, 2, 3], [1, 2, 4]], 2), ([[1], [2]], 0), ([[1, 2], [1, 2]], 2)]
)
def test_the_shared_beginning_of_rows(rows: list[list[int | str]], length: int) -> None:
    assert shared_length(rows) == length


def test_the_number_of_bytes_held_is_that_of_the_states(llama: Core) -> None:
    cache = PrefixCache()
    llama.generate([SHOTS], max_tokens=1, cache=cache)
    config = llama.model.config
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * (config.hidden_size // 4) * 4
    assert cache.n_bytes == len(cache) * per_token
    assert len(cache) == llama.assemble([SHOTS]).lengths[0]


def test_shared_shots_are_read_once(load: Callable[[str], Core], soft: Callable[..., Soft]) -> None:
    """Counted in tokens that go through the core, so that it holds on any machine."""
    core = load("qwen3")
    shots = [SHOTS, soft(core, 1, 8), "\nAnswer: blicket\n\n"]
    n_shots = core.assemble([shots]).lengths[0]
    prompts = [[*shots, "Picture: ", soft(core, seed), "\nAnswer:"] for seed in range(2, 42)]
    total = sum(core.assemble(prompts).lengths)
    rest = total - 40 * n_shots
    read = count_columns(core, lambda: core.generate(prompts, max_tokens=1))
    assert read <= n_shots + rest
    cache = PrefixCache()
    one_by_one = count_columns(core, lambda: [core.generate([p], max_tokens=1, cache=cache) for p in prompts])
    assert one_by_one <= n_shots + rest
    again = count_columns(core, lambda: [core.generate([p], max_tokens=1, cache=cache) for p in prompts])
    assert again == 40
    kept = PrefixCache()
    core.generate(prompts, max_tokens=1, cache=kept)
    assert n_shots <= len(kept) < n_shots + rest / 40  # of what is nearly all shared, the shared part alone


def test_choices_share_the_reading_of_their_prompt(load: Callable[[str], Core]) -> None:
    core = load("qwen3")
    choices = ["dax", "blicket", "red cube", "it does not swim"]
    lengths = [len(core.tokens.follow(" " + choice, before=SHOTS + "Answer:")) for choice in choices]
    n_prompt = core.assemble([SHOTS + "Answer:"]).lengths[0]
    read = count_columns(core, lambda: core.score([SHOTS + "Answer:"], [choices]))
    assert read <= n_prompt + len(choices) * max(lengths)
    assert count_columns(core, lambda: core.score([SHOTS], [["\n", "\n\n"]])) <= n_prompt


def count_columns(core: Core, work: Callable[[], object]) -> int:
    """Tokens, padding included, that the model computes while `work` runs."""
    seen: list[int] = []
    layer = core.model.get_input_embeddings()
    decoder = core.model.get_decoder()

    def note(module: torch.nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        tensor = kwargs.get("inputs_embeds")
        tensor = kwargs["input_ids"] if tensor is None else tensor
        assert isinstance(tensor, torch.Tensor)
        seen.append(tensor.shape[0] * tensor.shape[1])

    assert layer is not None
    handle = decoder.register_forward_pre_hook(note, with_kwargs=True)
    try:
        work()
    finally:
        handle.remove()
    return sum(seen)
