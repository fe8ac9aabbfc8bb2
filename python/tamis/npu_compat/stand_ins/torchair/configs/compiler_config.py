"""Settings of the device's graph compiler: any can be set, none has an effect."""

from __future__ import annotations

from typing import Any


class CompilerConfig:
    """Holds whatever is set; a group of settings comes into being when it is first named."""

    def __getattr__(self, name: str) -> Any:
        """A group of settings, which holds whatever is set in turn."""
        if name.startswith("__"):
            raise AttributeError(name)
        group = CompilerConfig()
        setattr(self, name, group)
        return group
