"""The indexer's warm-up against its formulas: matrices of scores and of both distributions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from case_file import Real, RealName, Tensor
from formulation import Bools, Floats, Ints
from pages import pad
from precision import REFERENCE, Family, assert_close
from runner import Implementation, Outputs, Runner

DTYPES: list[RealName] = ["bfloat16", "float16", "float32"]
LEAST = 1e-8  # probability in the loss
Estimates = tuple[Floats, Floats]  # values, and their errors


@dataclass
class Sequence:
    """Tokens and keys, of the main attention and of the index, and the statistics of both."""

    query: Floats  # [q, N, D + Dr]
    key: Floats  # [n, N2, D + Dr]
    query_index: Floats  # [q, Ni, Di]
    key_index: Floats  # [n, Di]
    weights: Floats  # [q, Ni]
    row_scale: Floats  # [q]
    mode: int
    statistics: dict[str, Floats] = field(default_factory=dict)

    @property
    def seen(self) -> Bools:
        """Which keys the tokens see: [q, n]."""
        q, n = len(self.query), len(self.key)
        end = np.full(q, n) if self.mode == 0 else n - q + np.arange(q) + 1
        return np.asarray((np.arange(n) < end[:, None]) & (self.row_scale != 0)[:, None])


@dataclass
class Distances:
    """Of a sequence, each with its error: S [q, Ni, n], I [q, n], p, q and dI, the losses [q]."""

    products: Estimates
    scores: Estimates
    target: Estimates
    found: Estimates
    slope: Estimates
    losses: Estimates


def index_scores(s: Sequence, family: Family) -> tuple[Estimates, ...]:
    """S and I, each with its error."""
    products = np.einsum("tgd,jd->tgj", s.query_index, s.key_index)
    size = np.einsum("tgd,jd->tgj", np.abs(s.query_index), np.abs(s.key_index))
    products_error = family.of_sum(s.key_index.shape[1], size)
    positive = np.maximum(products, 0)
    scores = np.einsum("tg,tgj->tj", s.weights, positive)
    size = np.einsum("tg,tgj->tj", np.abs(s.weights), positive)
    error = np.einsum("tg,tgj->tj", np.abs(s.weights), products_error)
    return (products, products_error), (scores, error + family.of_sum(s.weights.shape[1], size))


def exponentials(
    scores: Floats, error: Floats, top: Floats, total: Floats, family: Family
) -> Estimates:
    """e^(score - top) / total, with its error."""
    value = np.exp(scores - top) / total
    moved = error + family.unit * (2 * np.abs(scores) + np.abs(scores - top))
    relative = np.expm1(moved) + family.of_sum(16, np.ones(1))
    return value, relative * value + family.underflow / total


def main_distribution(s: Sequence, scale: float, family: Family) -> Estimates:
    """P: the mean over the heads of the main attention."""
    heads, dims = s.query.shape[1:]
    group = heads // s.key.shape[1]
    sums = np.zeros((3, *s.seen.shape))
    for h in range(heads):
        query, key = s.query[:, h], s.key[:, h // group]
        size = abs(scale) * (np.abs(query) @ np.abs(key).T)
        p, error = exponentials(
            scale * (query @ key.T),
            family.of_sum(dims, size),
            s.statistics["softmax_max"][:, h, None],
            s.statistics["softmax_sum"][:, h, None],
            family,
        )
        sums += p, error, family.of_sum(heads, p)
    return sums[0] / heads, (sums[1] + sums[2]) / heads + 2 * family.unit * sums[0] / heads


def distances(s: Sequence, scale: float, family: Family) -> Distances:
    """All that is between the two distributions; nothing where a token does not see a key."""
    products, scores = index_scores(s, family)
    top, total = (s.statistics[f"softmax_{n}_index"][:, None] for n in ("max", "sum"))
    with np.errstate(all="ignore"):
        p, p_error = (np.where(s.seen, x, 0) for x in main_distribution(s, scale, family))
        found = exponentials(*scores, top, total, family)
        q, q_error = (np.where(s.seen, x, 0) for x in found)
    return between(s, (products, scores), (p, p_error), (q, q_error), family)


def between(
    s: Sequence, index: tuple[Estimates, ...], target: Estimates, found: Estimates, family: Family
) -> Distances:
    """Of two distributions, 0 where a token does not see a key."""
    (p, p_error), (q, q_error) = target, found
    hide = np.where(s.seen, 1, 0)
    factor = s.row_scale[:, None]
    slope = factor * (q - p)
    slope_error = np.abs(factor) * (p_error + q_error) + 2 * family.unit * np.abs(slope)

    def moved(x: Floats, error: Floats) -> Floats:
        return np.asarray(np.log(np.maximum(x + error, LEAST) / np.maximum(x - error, LEAST)))

    far = np.log(np.maximum(p, LEAST) / np.maximum(q, LEAST))
    far_error = moved(p, p_error) + moved(q, q_error) + 8 * family.unit * (1 + np.abs(far))
    errors = p_error * np.abs(far) + (p + p_error) * far_error * hide
    losses = s.row_scale * (p * far).sum(axis=1)
    size = family.of_sum(len(s.key) + 1, (p * np.abs(far)).sum(axis=1))
    losses_error = np.abs(s.row_scale) * (errors.sum(axis=1) + size) + family.unit * np.abs(losses)
    products, scores = index
    return Distances(products, scores, target, found, (slope, slope_error), (losses, losses_error))


def gradients(s: Sequence, d: Distances, family: Family) -> dict[str, Estimates]:
    """Of weights, index queries and index keys, each with its error."""
    slope, slope_error = (x[:, None] for x in d.slope)
    products, products_error = d.products
    weights = s.weights[:, :, None]
    positive = np.maximum(products, 0)
    ds = np.where(products > 0, slope * weights, 0)
    ds_error = slope_error * np.abs(weights) + family.unit * np.abs(ds)
    unsure = (np.abs(products) <= products_error) & (products_error > 0)
    ds_error = np.where(unsure, (np.abs(slope) + slope_error) * np.abs(weights), ds_error)
    ds_error = np.where(unsure | (products > 0), ds_error, 0)
    keys, tokens = len(s.key) + 1, len(s.query) * s.weights.shape[1] + 1

    def of_sum(path: str, left: Floats, error: Floats, right: Floats, terms: int) -> Estimates:
        size = np.einsum(path, np.abs(left), np.abs(right))
        missing = np.einsum(path, error, np.abs(right))
        return np.einsum(path, left, right), missing + family.of_sum(terms, size)

    wide = np.broadcast_to(slope, products.shape)
    wide_error = np.broadcast_to(slope_error, products.shape)
    by_weight = of_sum("tgj,tgj->tg", wide, wide_error, positive, keys)
    missing = np.einsum("tgj,tgj->tg", np.abs(wide) + wide_error, products_error)
    return {
        "weights_grad": (by_weight[0], by_weight[1] + missing),
        "query_index_grad": of_sum("tgj,jd->tgd", ds, ds_error, s.key_index, keys),
        "key_index_grad": of_sum("tgj,tgd->jd", ds, ds_error, s.query_index, tokens),
    }


# --- calls --------------------------------------------------------------------------------------


@dataclass
class Call:
    """Sequences; layouts are made when it runs."""

    sequences: list[Sequence]
    scale: float
    dtype: RealName
    weight_dtype: RealName
    rope: int  # the last dims of query and key
    scaled: bool

    def lay(self, name: str, layout: str, part: slice = slice(None)) -> Floats:
        """What every token or key has, in one tensor; NaN where none is."""
        parts: list[Floats] = [getattr(s, name)[..., part] for s in self.sequences]
        return np.concatenate(parts) if layout == "TND" else pad(parts)

    def lengths(self, layout: str) -> tuple[Ints, Ints]:
        """Of query tokens and of keys."""
        counts = np.array([(len(s.query), len(s.key)) for s in self.sequences]).T
        query, key = np.cumsum(counts, axis=1) if layout == "TND" else counts
        return query, key

    def index_tensors(self, layout: str) -> dict[str, Tensor]:
        """Those of both operators."""
        query, key = self.lengths(layout)
        keys = self.lay("key_index", layout)
        return {
            "query_index": Real.round(self.lay("query_index", layout), self.dtype),
            "key_index": Real.round(keys[..., None, :], self.dtype),
            "weights": Real.round(self.lay("weights", layout), self.weight_dtype),
            "actual_seq_lengths_query": query.astype(np.int32),
            "actual_seq_lengths_key": key.astype(np.int64),
        }

    def tensors(self, layout: str) -> dict[str, Tensor]:
        """All of the loss."""
        found = self.index_tensors(layout)
        dim = self.sequences[0].query.shape[-1] - self.rope
        for name in ("query", "key"):
            whole = self.lay(name, layout)
            found[name] = Real.round(whole[..., :dim], self.dtype)
            if self.rope > 0:
                found[f"{name}_rope"] = Real.round(whole[..., dim:], self.dtype)
        for name in self.sequences[0].statistics:
            parts = [s.statistics[name] for s in self.sequences]
            laid = np.concatenate(parts) if layout == "TND" else pad(parts)
            found[name] = laid.astype(np.float32)
        if self.scaled:
            parts = [s.row_scale for s in self.sequences]
            laid = np.concatenate(parts) if layout == "TND" else pad(parts)
            found["row_scale"] = laid.astype(np.float32)
        return found

    def split(self, values: Floats, ends: Ints, layout: str, fill: float) -> list[Floats]:
        """Of every sequence; padding holds `fill`."""
        if layout == "TND":
            return np.split(values, ends[:-1])
        for row, count in zip(values, ends, strict=True):
            assert np.all(row[count:] == fill)
        return [row[:count] for row, count in zip(values, ends, strict=True)]


def random_call(seed: int, dtype: RealName) -> Call:
    rng = np.random.default_rng(seed)
    kv_heads = int(rng.integers(1, 4))
    heads, index_heads = kv_heads * int(rng.integers(1, 5)), int(rng.integers(1, 7))
    rope = int(rng.integers(1, 20)) if rng.random() < 0.5 else 0
    dim, index_dim = int(rng.integers(1, 50)) + rope, int(rng.integers(1, 50))
    weight_dtype: RealName = "float32" if rng.random() < 0.5 else dtype
    scale = float(np.float32(rng.uniform(0.05, 0.3)))
    scaled, mode = bool(rng.random() < 0.5), int(rng.choice([0, 3]))
    counts = [(int(rng.integers(0, 50)), int(rng.integers(0, 150))) for _ in range(3)]
    counts[0] = (counts[0][0] + 1, counts[0][1] + 1)

    def normal(*shape: int, of: RealName = dtype, size: float = 1) -> Floats:
        return Real.round(size * rng.standard_normal(shape), of).values

    sequences = []
    for q, n in counts:
        factors = rng.choice([0, 0.5, 1, 3], q) if scaled else np.ones(q)
        s = Sequence(
            normal(q, heads, dim),
            normal(n, kv_heads, dim),
            normal(q, index_heads, index_dim),
            normal(n, index_dim),
            normal(q, index_heads, of=weight_dtype, size=2 / np.sqrt(index_dim)),
            factors,
            mode,
        )
        set_statistics(rng, s, scale, 0.3)
        sequences.append(s)
    return Call(sequences, scale, dtype, weight_dtype, rope, scaled)


def set_statistics(rng: np.random.Generator, s: Sequence, scale: float, spread: float) -> None:
    """Near those of the scores: nothing may normalise the difference away."""

    def of(scores: Floats) -> Estimates:
        hidden = np.where(s.seen, scores, -np.inf)
        top = np.maximum(hidden.max(axis=1, initial=-np.inf), -1e30)
        top = top + rng.normal(0, spread, len(top))
        total = np.exp(hidden - top[:, None]).sum(axis=1) * np.exp(rng.normal(0, spread, len(top)))
        top, total = (x.astype(np.float32).astype(np.float64) for x in (top, total))
        return top, np.where(total > 0, total, 1)

    group = s.query.shape[1] // s.key.shape[1]
    pairs = [of(scale * (s.query[:, h] @ s.key[:, h // group].T)) for h in range(s.query.shape[1])]
    top, total = of(index_scores(s, REFERENCE)[1][0])
    s.statistics = {
        "softmax_max": np.stack([pair[0] for pair in pairs], axis=1),
        "softmax_sum": np.stack([pair[1] for pair in pairs], axis=1),
        "softmax_max_index": top,
        "softmax_sum_index": total,
    }


# --- tests --------------------------------------------------------------------------------------


def check_loss(call: Call, outputs: Outputs, layout: str, family: Family) -> None:
    """Every output within the bound of its evaluation."""
    query, key = call.lengths(layout)
    ends = {"key_index_grad": key}
    names = ("query_index_grad", "key_index_grad", "weights_grad", "row_loss")
    got = {
        name: call.split(outputs.real(name).values, ends.get(name, query), layout, 0)
        for name in names
    }
    loss, loss_error = 0.0, 0.0
    for b, s in enumerate(call.sequences):
        d = distances(s, call.scale, family)
        expected = gradients(s, d, family) | {"row_loss": d.losses}
        for name, (values, error) in expected.items():
            found = got[name][b]
            found = found[:, 0] if name == "key_index_grad" else found
            dtype = outputs.real(name).dtype
            assert_close(f"{name}[{b}]", found, values, error, dtype)
        assert np.all(got["key_index_grad"][b][~s.seen.any(axis=0)] == 0)
        loss += float(d.losses[0].sum())
        loss_error += float(d.losses[1].sum())
    assert_close(
        "loss", outputs.floats("loss"), np.array([loss]), np.array([loss_error]), "float32"
    )


@pytest.mark.parametrize("layout", ["BSND", "TND"])
@pytest.mark.parametrize("seed", range(12))
def test_the_loss_equals_the_formula_over_random_ragged_batches(
    runner: Runner, implementation: Implementation, seed: int, layout: str
) -> None:
    call = random_call(1100 + seed, DTYPES[seed % 3])
    attributes = {
        "scale_value": call.scale,
        "layout": layout,
        "sparse_mode": call.sequences[0].mode,
        "return_row_loss": True,
    }
    outputs = runner.run(
        "dense_lightning_indexer_grad_kl_loss", implementation, call.tensors(layout), attributes
    )
    for name, dtype in (("query_index_grad", call.dtype), ("weights_grad", call.weight_dtype)):
        assert outputs.real(name).dtype == dtype
    check_loss(call, outputs, layout, implementation.family)


@pytest.mark.parametrize("layout", ["BSND", "TND"])
@pytest.mark.parametrize("seed", range(6))
def test_statistics_equal_the_formula_over_random_ragged_batches(
    runner: Runner, implementation: Implementation, seed: int, layout: str
) -> None:
    call = random_call(1200 + seed, DTYPES[seed % 3])
    attributes = {"layout": layout, "sparse_mode": call.sequences[0].mode}
    outputs = runner.run(
        "dense_lightning_indexer_softmax_lse",
        implementation,
        call.index_tensors(layout),
        attributes,
    )
    query, _ = call.lengths(layout)
    tops = call.split(outputs.floats("softmax_max_index"), query, layout, -np.inf)
    totals = call.split(outputs.floats("softmax_sum_index"), query, layout, 0)
    family = implementation.family
    for b, s in enumerate(call.sequences):
        s.row_scale[:] = 1  # is not told
        scores, error = index_scores(s, family)[1]
        hidden = np.where(s.seen, scores, -np.inf)
        top = hidden.max(axis=1, initial=-np.inf)
        off = np.where(s.seen, error, 0).max(axis=1, initial=0)
        assert_close(f"max[{b}]", tops[b], top, off, "float32")
        e = np.exp(hidden - np.where(np.isfinite(top), top, 0)[:, None])
        relative = np.expm1(error + off[:, None]) + 2 * family.of_sum(len(s.key) + 16, np.ones(1))
        wide = (e * np.where(s.seen, relative, 0)).sum(axis=1) + len(s.key) * family.underflow
        assert_close(f"sum[{b}]", totals[b], e.sum(axis=1), wide, "float32")


def test_the_formula_is_the_derivative_of_the_divergence() -> None:
    """By differences of the loss, with statistics of both distributions, far from the clamp."""
    rng = np.random.default_rng(1300)
    s = Sequence(
        rng.standard_normal((4, 2, 3)),
        rng.standard_normal((6, 1, 3)),
        rng.standard_normal((4, 3, 2)),
        rng.standard_normal((6, 2)),
        rng.standard_normal((4, 3)),
        np.array([1.0, 0.5, 2.0, 1.0]),
        3,
    )
    exact = Family(unit=0.0, underflow=0.0)

    def loss() -> float:
        set_statistics(rng, s, 0.4, 0.0)
        for h in range(2):  # in float64: what is not normalised has another derivative
            scores = np.where(s.seen, 0.4 * (s.query[:, h] @ s.key[:, 0].T), -np.inf)
            top = s.statistics["softmax_max"][:, h]
            s.statistics["softmax_sum"][:, h] = np.exp(scores - top[:, None]).sum(axis=1)
        scores = np.where(s.seen, index_scores(s, exact)[1][0], -np.inf)
        top = s.statistics["softmax_max_index"]
        s.statistics["softmax_sum_index"] = np.exp(scores - top[:, None]).sum(axis=1)
        return float(distances(s, 0.4, exact).losses[0].sum())

    loss()
    found = gradients(s, distances(s, 0.4, exact), exact)
    for name, (gradient, _) in found.items():
        tensor: Floats = getattr(s, name.removesuffix("_grad"))
        for at in np.ndindex(tensor.shape):
            before, sides = tensor[at], []
            for step in (1e-5, -1e-5):
                tensor[at] = before + step
                sides.append(loss())
            tensor[at] = before
            assert abs((sides[0] - sides[1]) / 2e-5 - gradient[at]) < 1e-8, (name, at)
