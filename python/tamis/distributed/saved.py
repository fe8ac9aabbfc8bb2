"""Tensors of a checkpoint of torch.distributed.checkpoint, read by one rank alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import Tensor

if TYPE_CHECKING:  # 45 MB of memory, which only those who load pay
    from torch.distributed.checkpoint import StorageReader
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from tamis.distributed.transport import said

Checkpoint: TypeAlias = "str | os.PathLike[str] | StorageReader"


class Saved:
    """Tensors of a checkpoint whose names begin with a prefix, as one process reads them.

    Parameters
    ----------
    checkpoint : path or StorageReader
    prefix : str
    beside : sequence of str
        tensors that must be there beside those of caches

    Raises
    ------
    ValueError
        It cannot be read, or they are not there.
    """

    def __init__(self, checkpoint: Checkpoint, prefix: str, beside: Sequence[str]) -> None:
        from torch.distributed.checkpoint import FileSystemReader

        path = isinstance(checkpoint, str | os.PathLike)
        reader: Any = FileSystemReader(checkpoint) if path else checkpoint
        self._reader, self._where = reader, getattr(reader, "path", checkpoint)
        self._prefix, self._beside = prefix, set(beside)
        try:
            self._metadata = self._reader.read_metadata()
        except Exception as error:
            raise ValueError(
                f"checkpoint: expected one in {self._where}, got {said(error)}"
            ) from error
        self._reader.set_up_storage_reader(self._metadata, True)
        self._tensors: dict[str, TensorStorageMetadata] = {
            key.removeprefix(prefix): found
            for key, found in self._metadata.state_dict_metadata.items()
            if key.startswith(prefix)
        }
        for key in beside:
            if key not in self._tensors:
                raise ValueError(
                    f"prefix: expected where caches are in {self._where}, got {prefix!r}: "
                    f"no {prefix}{key}"
                )

    def shape(self, key: str) -> list[int]:
        """Of a tensor."""
        return list(self._tensors[key].size)

    def require(self, keys: Iterable[str]) -> None:
        """The caches' tensors are these, and no others."""
        found, wanted = set(self._tensors) - self._beside, set(keys)
        if found != wanted:
            raise ValueError(
                f"caches: expected those saved in {self._where}, got "
                f"{_listed(wanted - found)} besides and {_listed(found - wanted)} missing"
            )

    def require_alike(self, key: str, wanted: Tensor) -> None:
        """A tensor was saved with this dtype and shape."""
        saved = self._tensors[key]
        found = saved.properties.dtype, list(saved.size)
        if found != (wanted.dtype, list(wanted.shape)):
            raise ValueError(
                f"caches: expected {found[0]} of shape {found[1]} for {key}, as saved, "
                f"got {wanted.dtype} of {list(wanted.shape)}"
            )

    def read(self, key: str, into: Tensor) -> Tensor:
        """Fills a tensor, and returns it."""
        from torch.distributed.checkpoint import DefaultLoadPlanner

        name = self._prefix + key
        planner = DefaultLoadPlanner()
        try:
            planner.set_up_planner({name: into}, self._metadata, True)
            plan = self._reader.prepare_local_plan(planner.create_local_plan())
            self._reader.read_data(planner.finish_plan(plan), planner).wait()
        except Exception as error:
            raise ValueError(
                f"checkpoint: expected {name} in {self._file(name)}, got {said(error)}"
            ) from error
        return into

    def _file(self, name: str) -> str:
        """Where a tensor lies, as far as its reader says."""
        for index, place in self._metadata.storage_data.items():
            if index.fqn == name and hasattr(place, "relative_path"):
                return str(Path(self._where, place.relative_path))
        return str(self._where)


def _listed(keys: set[str]) -> str:
    """Names, each tensor once."""
    names = sorted({key.rsplit(".shard", 1)[0] for key in keys})
    return ", ".join(names) if names else "none"
