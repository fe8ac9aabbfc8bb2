"""Document 004: attention over selected latent keys in pages, eager and in graph mode."""

import custom_ops  # noqa: F401  (mounts the call on torch_npu)
import torch
import torch_npu
import torchair
from agreement import compare
from torchair.configs.compiler_config import CompilerConfig

torch.manual_seed(0)
torch_npu.npu.set_device(0)
batch, heads, latent, rope, page, chosen, length = 2, 16, 512, 64, 256, 64, 1000
scale = (latent + rope) ** -0.5
pages = 8
query = torch.randn(batch, 1, heads, latent, dtype=torch.bfloat16).to("npu:0")
query_rope = torch.randn(batch, 1, heads, rope, dtype=torch.bfloat16).to("npu:0")
key = torch.randn(pages, page, 1, latent, dtype=torch.bfloat16).to("npu:0")
key_rope = torch.randn(pages, page, 1, rope, dtype=torch.bfloat16).to("npu:0")
block_table = torch.randperm(pages, dtype=torch.int32).reshape(batch, -1).to("npu:0")
lengths = torch.full((batch,), length, dtype=torch.int32, device="npu:0")
indices = torch.stack([torch.randperm(length)[:chosen] for _ in range(batch)])
indices = indices.reshape(batch, 1, 1, chosen).int().npu()


class Attention(torch.nn.Module):
    """One call of the operator."""

    def forward(self, query: torch.Tensor, query_rope: torch.Tensor) -> torch.Tensor:
        """Attention over the selected keys."""
        out: torch.Tensor = torch_npu.npu_sparse_flash_attention(
            query,
            key,
            key,
            indices,
            scale,
            1,
            block_table=block_table,
            actual_seq_lengths_kv=lengths,
            query_rope=query_rope,
            key_rope=key_rope,
            layout_query="BSND",
            layout_kv="PA_BSND",
            sparse_mode=3,
        )
        return out


latents = key[block_table.long()].reshape(batch, -1, latent).float()
ropes = key_rope[block_table.long()].reshape(batch, -1, rope).float()
expected = []
for b in range(batch):
    ids = indices[b, 0, 0].long()
    scores = query[b, 0].float() @ latents[b, ids].T + query_rope[b, 0].float() @ ropes[b, ids].T
    expected.append((scale * scores).softmax(-1) @ latents[b, ids])

model = Attention().npu()
backend = torchair.get_npu_backend(compiler_config=CompilerConfig())
graph = torch.compile(model, backend=backend, fullgraph=True)
compare("eager", model(query, query_rope)[:, 0], torch.stack(expected))
compare("graph", graph(query, query_rope)[:, 0], torch.stack(expected))
