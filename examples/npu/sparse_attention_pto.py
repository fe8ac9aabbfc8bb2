"""Document 003: the front half of a DeepSeek-V3.2 layer for new tokens, in graph mode.

At the sizes of the model, with fewer cached tokens. The weights are NZ, once by `npu_format_cast`
and once as bytes that were packed by hand; both give the same result.
"""

import custom_pypto  # noqa: F401  (registers torch.ops.custom_pypto)
import torch
import torch_npu
import torchair
from agreement import compare

torch.manual_seed(0)
NZ = 29
batch, hidden, low, heads, nope, latent, rope = 2, 7168, 1536, 128, 128, 512, 64
index_heads, index_dim, page, lengths = 64, 128, 128, [300, 150]
tables = torch.tensor([[0, 1, 2], [4, 3, -1]], dtype=torch.int32)


def values(*shape: int, scale: float = 1.0) -> torch.Tensor:
    """Random bfloat16 values."""
    return (scale * torch.randn(shape)).bfloat16()


def pack(weight: torch.Tensor) -> torch.Tensor:
    """NZ bytes: panels of 16 columns, in a tensor of the plain shape."""
    rows, columns = weight.shape
    return weight.reshape(rows, columns // 16, 16).permute(1, 0, 2).reshape(rows, columns)


def cast(weight: torch.Tensor) -> torch.Tensor:
    """The weight in the device's format."""
    found: torch.Tensor = torch_npu.npu_format_cast(weight.npu(), NZ)
    return found


weights = {
    "w_dq": values(hidden, low, scale=hidden**-0.5),
    "w_uq_qr": values(low, heads * (nope + rope), scale=low**-0.5),
    "w_uk": values(heads, nope, latent, scale=nope**-0.5),
    "w_dkv_kr": values(hidden, latent + rope, scale=hidden**-0.5),
    "w_idx_qb": values(low, index_heads * index_dim, scale=low**-0.5),
    "w_idx_k": values(hidden, index_dim, scale=hidden**-0.5),
    "w_idx_proj": values(hidden, index_heads, scale=hidden**-0.5),
}
positions = torch.tensor(lengths) - 1
angle = positions[:, None] * 10000 ** (-torch.arange(rope // 2) / (rope // 2))
sin, cos = (
    f(angle).repeat(1, 2).reshape(batch, 1, rope).bfloat16() for f in (torch.sin, torch.cos)
)
slots = tables.long().gather(1, positions[:, None] // page) * page + positions[:, None] % page
inputs = {
    "x": values(batch, 1, hidden),
    "gamma_cq": torch.ones(low).bfloat16(),
    "gamma_ckv": torch.ones(latent).bfloat16(),
    "sin": sin,
    "cos": cos,
    "cache_index": slots.int(),
    "block_table": tables,
    "act_seqs": torch.tensor(lengths, dtype=torch.int32),
    "in_gamma_k": torch.ones(index_dim).bfloat16(),
    "in_beta_k": torch.zeros(index_dim).bfloat16(),
}
caches = {
    "kv_cache": values(5, page, 1, latent),
    "kr_cache": values(5, page, 1, rope),
    "index_k_cache": values(5, page, 1, index_dim),
}


class Layer(torch.nn.Module):
    """One call of the operator."""

    def forward(self, arguments: dict[str, torch.Tensor]) -> torch.Tensor:
        """The layer's latent attention output; its caches are updated in place."""
        out: torch.Tensor = torch.ops.custom_pypto.npu_sparse_attention_pto(**arguments)
        return out


def rms_norm(x: torch.Tensor) -> torch.Tensor:
    """Of the last dimension, with a weight of ones."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5)


def rotate(x: torch.Tensor) -> torch.Tensor:
    """Rope of interleaved pairs, of [batch, .., rope]."""
    halves = torch.cat([x[..., 0::2], x[..., 1::2]], -1)
    turned = torch.cat([-halves[..., rope // 2 :], halves[..., : rope // 2]], -1)
    turns = [t.float().reshape(batch, *[1] * (x.ndim - 2), rope) for t in (cos, sin)]
    return halves * turns[0] + turned * turns[1]


def plain() -> torch.Tensor:
    """The same layer; with fewer than 2048 cached tokens every one of them is selected."""
    w = {name: weight.float() for name, weight in weights.items()}
    x = inputs["x"][:, 0].float()
    q = (rms_norm(x @ w["w_dq"]) @ w["w_uq_qr"]).reshape(batch, heads, nope + rope)
    query = torch.einsum("bhd,hdl->bhl", q[..., :nope], w["w_uk"])
    row = x @ w["w_dkv_kr"]
    rows = [rms_norm(row[:, :latent]), rotate(row[:, latent:])]
    out = []
    for b, length in enumerate(lengths):
        pages = tables[b][tables[b] >= 0].long()
        kept = [
            caches[n][pages].reshape(-1, size)[:length].float()
            for n, size in (("kv_cache", latent), ("kr_cache", rope))
        ]
        for cached, new in zip(kept, rows, strict=True):
            cached[length - 1] = new[b]
        scores = query[b] @ kept[0].T + rotate(q[..., nope:])[b] @ kept[1].T
        out.append(((latent + rope) ** -0.5 * scores).softmax(-1) @ kept[0])
    return torch.stack(out)


expected = plain()
backend = torchair.get_npu_backend(compiler_config=torchair.CompilerConfig())
graph = torch.compile(Layer().npu(), backend=backend, dynamic=False, fullgraph=True)
for how, in_nz in {"cast": cast, "packed": pack}.items():
    call = {name: tensor.npu() for name, tensor in inputs.items()}
    call |= {name: cache.clone().npu() for name, cache in caches.items()}
    call |= {n: w.npu() if n == "w_uk" else in_nz(w.clone()).npu() for n, w in weights.items()}
    compare(f"weights {how}", graph(call)[:, 0], expected, 0.05)
