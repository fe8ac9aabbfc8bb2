"""The table of signatures says what the documents say, and it is what people call."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch

from tamis.npu_compat import calls, register
from tamis.npu_compat.schemas import SCHEMAS, name_of, signature_of

LINES = (Path(__file__).parent / "npu_prototypes.txt").read_text(encoding="utf-8").splitlines()
PROTOTYPES = [line for line in LINES if line and not line.startswith("#")]
EMPTY = (*[torch.zeros(0, 1, 1, 8, dtype=torch.bfloat16)] * 3, torch.zeros(0, 1, 1, 1).int())
NAMESPACES = {"torch_npu": "npu", "custom": "custom", "custom_pypto": "custom_pypto"}


def take_apart(prototype: str) -> tuple[str, list[str], str]:
    """Name, arguments and what is returned, without marks of what is updated."""
    plain = re.sub(r"\([a-z]!\)", "", prototype).replace('"', "'")
    found = re.fullmatch(r"([\w.]+)\((.*)\) *-> *(.*)", plain)
    assert found is not None, prototype
    name, arguments, returned = found.groups()
    return name, re.split(r",\s*", arguments), returned


def schema_of(prototype: str) -> tuple[str, str]:
    """The namespace, and the one schema of this name in it."""
    module, name, *_ = take_apart(prototype)[0].split(".")
    (schema,) = (s for s in SCHEMAS[NAMESPACES[module]] if name_of(s) == name)
    return NAMESPACES[module], schema


def test_every_schema_has_a_prototype() -> None:
    described = sorted(schema_of(prototype) for prototype in PROTOTYPES)
    assert described == sorted((space, s) for space, schemas in SCHEMAS.items() for s in schemas)


@pytest.mark.parametrize("prototype", PROTOTYPES, ids=lambda p: take_apart(p)[0])
def test_schemas_say_what_the_documents_say(prototype: str) -> None:
    _, documented, returned = take_apart(prototype)
    _, schema = schema_of(prototype)
    _, arguments, also_returned = take_apart(schema)
    if not any(" " in argument for argument in documented):  # without types, as 002 and 003 are
        arguments = [argument.rpartition(" ")[2] for argument in arguments]
    assert arguments == documented
    assert also_returned == returned


@pytest.mark.parametrize("prototype", PROTOTYPES, ids=lambda p: take_apart(p)[0])
def test_people_call_what_the_table_says(prototype: str) -> None:
    module, name, *overload = take_apart(prototype)[0].split(".")
    namespace, schema = schema_of(prototype)
    function = getattr(importlib.import_module(module), name)
    plain = [p.replace(annotation=p.empty) for p in inspect.signature(function).parameters.values()]
    assert plain == list(signature_of(schema).parameters.values())
    operator = getattr(getattr(torch.ops, namespace), name)
    assert operator.overloads() == (overload or ["default"])
    assert getattr(operator, operator.overloads()[0])._schema == torch._C.parse_schema(
        f"{namespace}::{schema}"
    )


UPDATED = {
    "npu_nsa_compress_infer": ["cache"],
    "npu_sparse_attention_pto": ["kv_cache", "kr_cache", "index_k_cache"],
    "npu_mla_prolog": ["kv_cache", "kr_cache"],
    "npu_mla_prolog_v2": ["kv_cache", "kr_cache"],
    "npu_mla_prolog_v3": ["kv_cache", "kr_cache"],
    "npu_lightning_indexer_prolog_pto": ["idx_k_cache"],
}


def test_the_caches_and_nothing_else_are_marked_as_updated() -> None:
    for schemas in SCHEMAS.values():
        for schema in schemas:
            marked = re.findall(r"\([a-z]!\) (\w+)", schema)
            assert marked == UPDATED.get(name_of(schema), [])


def test_one_name_means_two_calls_in_two_namespaces() -> None:
    assert len(calls.call("npu", "npu_sparse_flash_attention")(*EMPTY, scale_value=1.0)) == 3
    single = calls.call("custom", "npu_sparse_flash_attention")(
        *EMPTY, scale_value=1.0, sparse_block_size=1
    )
    assert isinstance(single, torch.Tensor)


def test_a_function_that_differs_from_the_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def npu_nsa_compress(input: int, weight: int) -> None:  # noqa: A002
        """Lacks arguments."""

    monkeypatch.setitem(calls.CALLS, "npu", (npu_nsa_compress,))
    with pytest.raises(TypeError, match=r"npu_nsa_compress: expected \(input, weight, compress_b"):
        register.function_of("npu", SCHEMAS["npu"][0])
