"""Selected attention, packed and paged, against its formula: positions, then plain softmax."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from attention_calls import paged, product_accuracy
from case_file import Real, RealName, Tensor
from formulation import Floats, Ints, storage_error
from precision import Family, assert_close
from runner import Implementation, Runner

DTYPES: list[RealName] = ["bfloat16", "float16", "float32"]
ACCURACIES = ["fp32", "storage"]  # fp32_scores: a test below
FORMS = ["sparse_mode 0", "sparse_mode 2", "sparse_mode 3", "paged TND", "paged BSND"]
PAGED = FORMS[3:]
FORMS_IN_TURNS = list(zip(FORMS, [*DTYPES, *DTYPES[:2]], strict=True))
TILE = 128  # selected keys that accuracy "storage" has a scale for

Found = tuple[Floats, Floats | None, Floats | None]


@dataclass
class Call:
    """Sequences of query tokens with their keys and lists; forms are made when it runs."""

    queries: list[Floats]  # per sequence [q, N, D]
    keys: list[Floats]  # [n, N2, D]
    values: list[Floats]  # [n, N2, D2]
    ids: list[Ints]  # [q, N2, K]
    block: int
    scale: float
    dtype: RealName
    page: int = 16
    padding: int = 0  # rows past the longest sequence's (BSND)
    accuracy: str = "fp32"
    out_dtype: str = "input"
    statistics: bool = True  # of the paged forms; the packed one always has them

    def end(self, form: str, b: int, t: int) -> int:
        """Where ends what a token sees."""
        q, n = len(self.queries[b]), len(self.keys[b])
        if form == "sparse_mode 0":
            return n
        if form == "sparse_mode 2":
            return min(t + 1, n)
        return min(max(n - q + t + 1, 0), n)

    def positions(self, form: str, b: int, t: int, g: int) -> list[int]:
        """What a token reads of a kv head, in its list's order."""
        end = self.end(form, b, t)
        found: list[int] = []
        for name in self.ids[b][t, g].tolist():
            if name < 0:
                break
            found += range(name * self.block, min((name + 1) * self.block, end))
        return found

    def read(self, form: str, parts: list[Floats]) -> list[Floats]:
        """Keys or values with NaN where no token reads a kv head's."""
        poisoned = [np.full_like(part, np.nan) for part in parts]
        for b, query in enumerate(self.queries):
            for t in range(len(query)):
                for g in range(parts[b].shape[1]):
                    at = self.positions(form, b, t, g)
                    poisoned[b][at, g] = parts[b][at, g]
        return poisoned

    def stored(self) -> str:
        """The type of the output."""
        return self.dtype if self.out_dtype == "input" else "float32"

    def lay(self, parts: list[Floats], form: str, fill: float) -> Floats:
        """What a call has of every query token, in one tensor."""
        if form != "paged BSND":
            return np.concatenate(parts)
        rows = max(len(part) for part in parts) + self.padding
        padded = np.full((len(parts), rows, *parts[0].shape[1:]), fill)
        for row, part in zip(padded, parts, strict=True):
            row[: len(part)] = part
        return padded

    def pages(self, form: str) -> dict[str, Tensor]:
        """Keys, values and their table; what must not be read is poison."""
        pairs = zip(self.read(form, self.keys), self.read(form, self.values), strict=True)
        dense = [(Real(key, self.dtype), Real(value, self.dtype)) for key, value in pairs]
        key, value, table = paged(np.random.default_rng(self.page), dense, self.page)
        return {"key": key, "value": value, "block_table": table.astype(np.int32)}

    def run(
        self, runner: Runner, implementation: Implementation, form: str, *options: str
    ) -> list[Found]:
        """Attention [q, N, D2], max and sum [q, N], if wanted, of every sequence."""
        q_lengths, n_lengths = [len(q) for q in self.queries], [len(k) for k in self.keys]
        # Lists of padding name block 0, whose keys padding does not read.
        ids = self.lay([i.astype(float) for i in self.ids], form, 0)
        tensors: dict[str, Tensor] = {
            "query": Real.round(self.lay(self.queries, form, np.nan), self.dtype),
            "topk_indices": ids.astype(np.int32),
        }
        attributes: dict[str, object] = {
            "scale_value": self.scale,
            "head_num": self.queries[0].shape[1],
            "select_block_size": self.block,
            "select_block_count": ids.shape[-1],
            "accuracy": self.accuracy,
            "out_dtype": self.out_dtype,
        }
        if form in PAGED:
            op = "nsa_selected_attention_infer"
            tensors |= self.pages(form)
            attributes |= {
                "key_value_head_num": self.keys[0].shape[1],
                "page_block_size": self.page,
                "layout": form.removeprefix("paged "),
                "actual_seq_kvlen": n_lengths,
                "return_softmax_lse": self.statistics,
            }
            if q_lengths != [1] * len(q_lengths):
                attributes["actual_seq_qlen"] = q_lengths
        else:
            op = "nsa_selected_attention"
            for name, parts in (("key", self.keys), ("value", self.values)):
                tensors[name] = Real(np.concatenate(self.read(form, parts)), self.dtype)
            attributes |= {
                "actual_seq_qlen": np.cumsum(q_lengths).tolist(),
                "actual_seq_kvlen": np.cumsum(n_lengths).tolist(),
            }
            if form != "sparse_mode 2":  # the default
                attributes["sparse_mode"] = int(form[-1])
        outputs = runner.run(op, implementation, tensors, attributes, *options)
        wanted = {"attention_out"}
        if self.statistics or form not in PAGED:
            wanted |= {"softmax_max", "softmax_sum"}
        assert outputs.tensors.keys() == wanted
        out = outputs.real("attention_out")
        assert out.dtype == self.stored()
        return list(
            zip(
                self.split(out.values, form, 0),
                *(
                    self.split(outputs.floats(name), form, empty)
                    if name in wanted
                    else [None] * len(q_lengths)
                    for name, empty in (("softmax_max", -np.inf), ("softmax_sum", 0))
                ),
                strict=True,
            )
        )

    def split(self, output: Floats, form: str, empty: float) -> list[Floats]:
        """Of every sequence; rows of padding hold nothing."""
        q_lengths = [len(q) for q in self.queries]
        if form != "paged BSND":
            assert len(output) == sum(q_lengths)
            return list(np.split(output, np.cumsum(q_lengths)[:-1]))
        assert output.shape[:2] == (len(q_lengths), max(q_lengths) + self.padding)
        for row, q in zip(output, q_lengths, strict=True):
            assert np.all(row[q:] == empty)
        return [row[:q] for row, q in zip(output, q_lengths, strict=True)]


def check(call: Call, form: str, found: list[Found], family: Family) -> None:
    """Every row and head within the bound of its evaluation."""
    scale = float(np.float32(call.scale))
    accuracy = product_accuracy(call.dtype, call.accuracy)
    for b, (out, top, total) in enumerate(found):
        group = call.queries[b].shape[1] // call.keys[b].shape[1]
        assert out.shape == (*call.queries[b].shape[:2], call.values[b].shape[2])
        for t, g in np.ndindex(len(call.queries[b]), call.keys[b].shape[1]):
            where = f"[{b}, {t}, kv head {g}]"
            heads = slice(g * group, (g + 1) * group)
            at = call.positions(form, b, t, g)
            query, key, value = (
                call.queries[b][t, heads],
                call.keys[b][at, g],
                call.values[b][at, g],
            )
            score = scale * (query @ key.T)
            size = (abs(scale) * (np.abs(query) @ np.abs(key).T)).max(axis=1, initial=0)
            want_top = score.max(axis=1, initial=-np.inf)
            e = np.exp(score - np.where(np.isneginf(want_top), 0, want_top)[:, None])
            want_total = e.sum(axis=1)
            p = e / np.where(want_total == 0, 1, want_total)[:, None]
            of_score = family.of_sum(key.shape[1], size) + 2 * family.unit * size
            one = np.ones(group)
            relative = 2 * of_score + 2 * family.unit * size + family.of_sum(len(at) + 16, one)
            error = (relative + family.of_sum(len(at) + 1, one))[:, None] * (p @ np.abs(value))
            lost = family.underflow * len(at)
            error = error + lost * np.abs(value).max(initial=1.0)
            if accuracy != "fp32":
                error = error + storage_error(p, value, TILE)[:, None]
            assert_close(f"attention_out{where}", out[t, heads], p @ value, error, call.stored())
            if top is None or total is None:
                continue
            assert_close(f"softmax_max{where}", top[t, heads], want_top, of_score, "float32")
            assert_close(
                f"softmax_sum{where}",
                total[t, heads],
                want_total,
                relative * want_total + lost,
                "float32",
            )


def random_ids(
    rng: np.random.Generator, shape: tuple[int, int, int], blocks: int, *, distinct: bool
) -> Ints:
    """Lists in any order: of blocks that are there, a few past the end, a few lists ended early."""
    ids = rng.integers(0, blocks + 2, shape)
    if distinct:  # as an importance gives them
        every = np.tile(np.arange(max(blocks, shape[2])), (*shape[:2], 1))
        ids = rng.permuted(every, axis=2)[..., : shape[2]]
    ids[rng.random(shape) < 0.03] = 2**31 - 1
    return np.where(rng.random(shape) < 0.03, rng.choice([-1, -7, -(2**31)], shape), ids)


def form_of(seed: int) -> str:
    """In which form a random call runs: 15 seeds have every form in every dtype."""
    return FORMS[seed % 5]


def random_call(seed: int) -> Call:
    """Any shape, with sequences that lack keys or tokens among them, and both kinds of lists."""
    rng = np.random.default_rng(1500 + seed)
    dtype = DTYPES[seed % 3]
    kv_heads, group = int(rng.integers(1, 4)), int(rng.choice([1, 3, 8, 16, 20]))
    dim, value_dim = int(rng.integers(1, 70)), int(rng.integers(1, 70))
    batch = int(rng.integers(2, 5))
    # Of sparse_mode 2 a token sees no more keys than there are tokens before it.
    most = 50 if form_of(seed) == "sparse_mode 2" else 6
    q_lengths, n_lengths = rng.integers(0, most, batch), rng.integers(1, 300, batch)
    if seed % 6 == 3:  # a decoding step, whose query lengths go without saying
        q_lengths[:] = 1
    n_lengths[:-1][rng.random(batch - 1) < 0.3] = 0
    q_lengths[0] += q_lengths.max() == 0
    block = [16, 4, 7, 64, 64, 1, 1000, 2**40][seed * 3 % 8]
    count = 0 if seed % 7 == 4 else int(rng.integers(1, 20))

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), dtype).values

    pairs = list(zip(q_lengths.tolist(), n_lengths.tolist(), strict=True))
    return Call(
        queries=[normal(q, kv_heads * group, dim) for q, _ in pairs],
        keys=[normal(n, kv_heads, dim) for _, n in pairs],
        values=[normal(n, kv_heads, value_dim) for _, n in pairs],
        ids=[
            random_ids(rng, (q, kv_heads, count), -(-n // block), distinct=b % 2 == 1)
            for b, (q, n) in enumerate(pairs)
        ],
        block=block,
        scale=float(rng.uniform(0.05, 0.3)),
        dtype=dtype,
        page=int(rng.integers(1, 40)),
        padding=int(rng.integers(0, 3)),
        accuracy=ACCURACIES[seed % 2],
        out_dtype=str(rng.choice(["input", "float32"])),
        statistics=bool(rng.random() < 0.7),
    )


def same_bits(found: list[Found], expected: list[Found]) -> bool:
    """Of every output and sequence."""

    def of(parts: list[Found]) -> list[bytes]:
        return [b"" if x is None else x.tobytes() for part in parts for x in part]

    return of(found) == of(expected)


@pytest.mark.parametrize("seed", range(15))
def test_equals_the_formula_over_random_ragged_batches(
    runner: Runner, implementation: Implementation, seed: int
) -> None:
    call, form = random_call(seed), form_of(seed)
    check(call, form, call.run(runner, implementation, form), implementation.family)


@pytest.mark.parametrize(("form", "dtype"), list(zip(FORMS[2:], DTYPES, strict=True)))
def test_the_documents_heads_over_16_blocks_of_64(
    runner: Runner, implementation: Implementation, form: str, dtype: RealName
) -> None:
    rng = np.random.default_rng(1150)
    n = 1100

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), dtype).values

    every = np.tile(np.arange(-(-n // 64)), (3, 4, 1))
    call = Call(
        queries=[normal(3, 64, 192)],
        keys=[normal(n, 4, 192)],
        values=[normal(n, 4, 128)],
        ids=[rng.permuted(every, axis=2)[..., :16]],
        block=64,
        scale=float(np.float32(192**-0.5)),
        dtype=dtype,
        page=128,
        accuracy="storage",
    )
    check(call, form, call.run(runner, implementation, form), implementation.family)


@pytest.mark.parametrize("seed", [1, 3, 9])  # packed, TND and BSND, in 16 bits
def test_scores_in_fp32_are_those_of_storage_accuracy(
    runner: Runner, implementation: Implementation, seed: int
) -> None:
    call, form = random_call(seed), form_of(seed)
    found, expected = (
        replace(call, accuracy=accuracy).run(runner, implementation, form)
        for accuracy in ("fp32_scores", "storage")
    )
    assert same_bits(found, expected)


@pytest.mark.parametrize("seed", [7, 8, 9])  # packed, TND and BSND, a dtype each
def test_thread_count_changes_no_bit(
    runner: Runner, implementation: Implementation, seed: int
) -> None:
    call, form = random_call(seed), form_of(seed)
    one, *others = (
        call.run(runner, implementation, form, "--threads", count) for count in ("1", "2", "7")
    )
    assert all(same_bits(other, one) for other in others)


def only(call: Call, form: str, rows: list[tuple[int, int]]) -> Call:
    """The call with these tokens alone, each a sequence with the keys that it sees."""
    ends = [call.end(form, b, t) for b, t in rows]
    return replace(
        call,
        queries=[call.queries[b][t : t + 1] for b, t in rows],
        keys=[call.keys[b][:end] for (b, _), end in zip(rows, ends, strict=True)],
        values=[call.values[b][:end] for (b, _), end in zip(rows, ends, strict=True)],
        ids=[call.ids[b][t : t + 1] for b, t in rows],
        page=call.page + 1,
    )


@pytest.mark.parametrize("seed", [0, 12, 8, 14])  # all keys, causal, TND and BSND
def test_a_token_alone_gives_the_bits_that_it_has_among_others(
    runner: Runner, implementation: Implementation, seed: int
) -> None:
    call, form = replace(random_call(seed), accuracy="storage"), form_of(seed)
    found = call.run(runner, implementation, form)
    every = [(b, t) for b, query in enumerate(call.queries) for t in range(len(query))]
    longest = max(every, key=lambda row: call.end(form, *row))
    for rows in (every[::-1], [longest]):
        expected: list[Found] = []
        for b, t in rows:
            out, top, total = (x if x is None else x[t : t + 1] for x in found[b])
            assert out is not None
            expected.append((out, top, total))
        assert same_bits(only(call, form, rows).run(runner, implementation, form), expected)


@pytest.mark.parametrize(("form", "dtype"), FORMS_IN_TURNS)
def test_nan_in_a_key_reaches_the_tokens_that_read_it_and_no_other(
    runner: Runner, implementation: Implementation, dtype: RealName, form: str
) -> None:
    rng = np.random.default_rng(1160)

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), dtype).values

    ids = np.array([[[0, 1], [2, 0]], [[1, 2], [0, 1]], [[0, 2], [0, 0]], [[1, 0], [0, 2]]])
    call = Call(
        queries=[normal(4, 6, 20)],
        keys=[normal(12, 2, 20)],
        values=[normal(12, 2, 9)],
        ids=[ids],
        block=4,
        scale=0.2,
        dtype=dtype,
        accuracy="storage",
    )
    call.keys[0][9, 0, 3] = np.nan  # of block 2
    call.keys[0][2, 1, 0] = np.nan  # of block 0
    found = call.run(runner, implementation, form)
    check(call, form, found, implementation.family)
    nan = [[bool(np.isnan(x).any()) for x in np.split(row, 2)] for row in found[0][0]]
    reads = [
        [9 in call.positions(form, 0, t, 0), 2 in call.positions(form, 0, t, 1)] for t in range(4)
    ]
    assert nan == reads


def test_no_token_gives_nothing(runner: Runner, implementation: Implementation) -> None:
    call = replace(random_call(0), padding=0)
    call.queries, call.ids = [query[:0] for query in call.queries], [ids[:0] for ids in call.ids]
    for form in FORMS:
        assert all(out.size == 0 for out, _, _ in call.run(runner, implementation, form)), form


# --- by hand ------------------------------------------------------------------------------------

# Without a query all scores are equal: with a channel of its own for every key, the output shows
# how often each counts.
KEYS = 7


def still_call(ids: list[list[list[int]]], keys: int = KEYS) -> Call:
    """Two kv heads of two query heads each, with blocks of 2 keys."""
    channels = np.repeat(np.eye(KEYS)[:keys, None], 2, axis=1)
    return Call(
        queries=[np.zeros((len(ids), 4, KEYS))],
        keys=[channels],
        values=[channels],
        ids=[np.array(ids)],
        block=2,
        scale=1.0,
        dtype="float32",
        page=3,
    )


def counted(
    call: Call, runner: Runner, implementation: Implementation, form: str
) -> list[list[list[int]]]:
    """Per token and kv head the positions that a row's mean is of, those named twice twice."""
    ((out, top, total),) = call.run(runner, implementation, form)
    assert top is not None
    assert total is not None
    assert np.array_equal(top, np.where(total > 0, 0, -np.inf))
    times = np.rint(out * total[..., None])
    assert np.array_equal(times.sum(-1), total)
    assert np.array_equal(
        out, Real.round(times / np.maximum(total, 1)[..., None], "float32").values
    )
    assert np.array_equal(times[:, ::2], times[:, 1::2]), "both heads of a kv head see the same"
    return [
        [np.repeat(np.arange(KEYS), row.astype(int)).tolist() for row in t] for t in times[:, ::2]
    ]


@pytest.mark.parametrize("form", FORMS)
def test_the_positions_of_lists_by_hand(
    runner: Runner, implementation: Implementation, form: str
) -> None:
    # Of 7 keys, block 3 has one. Tokens see all; the first 1, 2 and 3; or the first 5, 6 and 7.
    call = still_call(
        [
            [[3, 0, 1], [2, -1, 0]],  # in any order; a negative id ends the list
            [[1, 1, 0], [9, 3, 2]],  # twice; past the end
            [[-5, 1, 2], [4, 2**31 - 1, 3]],  # at once; only the last is there
        ]
    )
    expected = {
        "sparse_mode 0": [
            [[0, 1, 2, 3, 6], [4, 5]],
            [[0, 1, 2, 2, 3, 3], [4, 5, 6]],
            [[], [6]],
        ],
        "sparse_mode 2": [[[0], []], [[0, 1], []], [[], []]],
        "sparse_mode 3": [[[0, 1, 2, 3], [4]], [[0, 1, 2, 2, 3, 3], [4, 5]], [[], [6]]],
    }
    seen = expected.get(form, expected["sparse_mode 3"])
    assert counted(call, runner, implementation, form) == seen
    # More tokens than keys: of 2 keys the first token sees none from the bottom right.
    call = still_call([[[0, 1, 2], [1, 0, 0]]] * 3, keys=2)
    expected = {
        "sparse_mode 0": [[[0, 1], [0, 0, 1, 1]]] * 3,
        "sparse_mode 2": [[[0], [0, 0]], [[0, 1], [0, 0, 1, 1]], [[0, 1], [0, 0, 1, 1]]],
        "sparse_mode 3": [[[], []], [[0], [0, 0]], [[0, 1], [0, 0, 1, 1]]],
    }
    seen = expected.get(form, expected["sparse_mode 3"])
    assert counted(call, runner, implementation, form) == seen


@pytest.mark.parametrize(("form", "dtype"), FORMS_IN_TURNS)
def test_a_key_that_outweighs_the_others_by_hand(
    runner: Runner, implementation: Implementation, form: str, dtype: RealName
) -> None:
    # Keys of a kv head are their numbers, doubled in the other; a query of 64 tells them by 128.
    # The second sequence sees its one key, and nothing of the first's.
    numbers = np.arange(8.0)[:, None]
    call = Call(
        queries=[np.full((8, 2, 1), 64.0), np.full((1, 2, 1), -64.0)],
        keys=[np.stack([numbers, 2 * numbers], axis=1), np.full((1, 2, 1), 3.0)],
        values=[np.stack([1 + numbers, -numbers - 1], axis=1), np.full((1, 2, 1), 96.0)],
        ids=[
            np.array([[[1, 0, -1], [0, 0, 1]]] * 7 + [[[1, 3, 0], [2, 2, 3]]]),
            np.array([[[0, 0, 0], [1, 0, -1]]]),
        ],
        block=2,
        scale=2.0,
        dtype=dtype,
        page=3,
    )
    first, second = call.run(runner, implementation, form)
    # Token 7 is the last of as many: it sees all keys in every form.
    best = {"sparse_mode 0": [3] * 7}.get(form, [0, 1, 2, 3, 3, 3, 3])
    twice = [2 if form != "sparse_mode 0" and t < 2 else 1 for t in range(7)]
    out, top, total = first
    assert top is not None
    assert total is not None
    assert out[:7, 0, 0].tolist() == [1 + k for k in best]
    assert out[:7, 1, 0].tolist() == [-1 - k for k in best]
    assert top[:7].tolist() == [[128 * k, 256 * k] for k in best]
    assert total[:7].tolist() == [[1, count] for count in twice]
    # Block 3 ends with key 7 for kv head 0; kv head 1 has it beside block 2, named twice.
    assert out[7, :, 0].tolist() == [8, -8]
    assert top[7].tolist() == [896, 1792]
    assert total[7].tolist() == [1, 1]
    out, top, total = second
    assert top is not None
    assert total is not None
    assert out[:, :, 0].tolist() == [[96, 96]]
    assert top.tolist() == [[-384, -384]]
    assert total.tolist() == [[3, 1]]
