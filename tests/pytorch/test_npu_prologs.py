"""mla_prolog and the indexer's prolog under their names on the device, in 16 bits."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import tamis.npu_compat
from tamis.npu_compat import formats
from tamis.npu_compat.calls import mla_prolog
from tamis.npu_compat.options import options

torch_npu = importlib.import_module("torch_npu")
custom = importlib.import_module("custom")
custom_pypto = importlib.import_module("custom_pypto")

torchair = importlib.import_module("torchair")

HIDDEN, LOW, HEADS, NOPE, LATENT, ROPE = 64, 48, 2, 16, 32, 16
PAGES, PAGE = 3, 4
NATIVE = {  # the calls' name of an argument, and the operator's
    "token_x": "x",
    "weight_dq": "w_dq",
    "weight_uq_qr": "w_uq_qr",
    "weight_uk": "w_uk",
    "weight_dkv_kr": "w_dkv_kr",
    "rmsnorm_gamma_cq": "gamma_cq",
    "rmsnorm_gamma_ckv": "gamma_ckv",
    "rope_sin": "sin",
    "rope_cos": "cos",
    "cache_index": "cache_index",
    "kv_cache": "kv_cache",
    "kr_cache": "kr_cache",
}


@pytest.fixture(autouse=True)
def _row_major_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    for option, value in vars(options).items():
        monkeypatch.setattr(options, option, value)
    monkeypatch.setattr(formats.Graphs, "read_marks", False)
    tamis.npu_compat.enable(weight_format="ND")


def random(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return (torch.randn(*shape, generator=generator) / 4).bfloat16()


def inputs(*tokens: int) -> dict[str, Tensor]:
    """A call with paged caches; one token is not stored, and two share a slot."""
    slots = [9, -1, 2, 7, 2, 0][: torch.Size(tokens).numel()]
    return {
        "token_x": random(*tokens, HIDDEN),
        "weight_dq": random(HIDDEN, LOW),
        "weight_uq_qr": random(LOW, HEADS * (NOPE + ROPE)),
        "weight_uk": random(HEADS, NOPE, LATENT),
        "weight_dkv_kr": random(HIDDEN, LATENT + ROPE),
        "rmsnorm_gamma_cq": random(LOW),
        "rmsnorm_gamma_ckv": random(LATENT),
        "rope_sin": random(*tokens, ROPE),
        "rope_cos": random(*tokens, ROPE),
        "cache_index": torch.tensor(slots).view(tokens),
        "kv_cache": random(PAGES, PAGE, 1, LATENT),
        "kr_cache": random(PAGES, PAGE, 1, ROPE),
    }


def copies(given: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in given.items()}


def native(given: dict[str, Tensor], **options: Any) -> dict[str, Tensor]:
    """What the operator gives, by name, and the caches after it."""
    own = copies(given)
    arguments = {NATIVE[name]: tensor for name, tensor in own.items()}
    results = torch.ops.tamis.mla_prolog(**arguments, **options)
    names = ("query", "query_rope", "query_norm")
    return {**dict(zip(names, results, strict=True)), "kv": own["kv_cache"], "kr": own["kr_cache"]}


def assert_equal(found: Tensor, expected: Tensor) -> None:
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert torch.equal(found, expected)


TOKENS = pytest.mark.parametrize("tokens", [(6,), (2, 3)], ids=["TH", "BSH"])


# --- the forms ------------------------------------------------------------------------------------


@TOKENS
def test_the_first_two_forms_return_the_caches_that_they_update(tokens: tuple[int, ...]) -> None:
    given = inputs(*tokens)
    epsilons = {"epsilon_cq": 1e-3, "epsilon_ckv": 1e-2}
    expected = native(given, **epsilons)
    assert not torch.equal(expected["kv"], given["kv_cache"])
    named = {f"rmsnorm_{name}": value for name, value in epsilons.items()}
    for space in (torch_npu, torch.ops.npu):
        own = copies(given)
        query, rope, kv, kr, scale = space.npu_mla_prolog_v2(*own.values(), **named)
        assert kv is own["kv_cache"] or kv.data_ptr() == own["kv_cache"].data_ptr()
        assert_equal(scale, torch.zeros(1))
        for found, name in ((query, "query"), (rope, "query_rope"), (kv, "kv"), (kr, "kr")):
            assert_equal(found, expected[name])
        for cache, name in ((own["kv_cache"], "kv"), (own["kr_cache"], "kr")):
            assert_equal(cache, expected[name])
        first = space.npu_mla_prolog(*copies(given).values(), **named)
        for found, other in zip(first, (query, rope, kv, kr), strict=True):
            assert_equal(found, other)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("space", ["torch_npu", "torch.ops.npu", "custom", "torch.ops.custom"])
@TOKENS
def test_the_third_form_updates_caches_and_returns_the_norm(
    tokens: tuple[int, ...], space: str, norm: bool
) -> None:
    given = inputs(*tokens)
    expected = native(given)
    unused = 1 if "custom" in space else 0
    module = {"torch_npu": torch_npu, "custom": custom}.get(space)
    module = module or getattr(torch.ops, space.rpartition(".")[2])
    own = copies(given)
    results = module.npu_mla_prolog_v3(**own, query_norm_flag=norm)
    query, rope, scale_q, query_norm, scale_norm = results
    assert_equal(query, expected["query"])
    assert_equal(rope, expected["query_rope"])
    assert_equal(query_norm, expected["query_norm"] if norm else random(1)[:0].new_zeros(unused))
    for scale in (scale_q, scale_norm):
        assert_equal(scale, torch.zeros(unused))
    assert_equal(own["kv_cache"], expected["kv"])
    assert_equal(own["kr_cache"], expected["kr"])

    own = copies(given)
    functional = module.npu_mla_prolog_v3_functional(**own, query_norm_flag=norm)
    for found, other in zip(functional, (*results, expected["kv"], expected["kr"]), strict=True):
        assert_equal(found, other)
    for name, tensor in own.items():
        assert_equal(tensor, given[name])


def test_the_third_form_takes_its_tensors_in_order() -> None:
    given = inputs(6)
    expected = native(given)
    own = copies(given)
    index = own.pop("cache_index")
    assert_equal(custom.npu_mla_prolog_v3(*own.values(), cache_index=index)[0], expected["query"])
    found = torch_npu.npu_mla_prolog_v3_functional(*own.values(), cache_index=index)
    assert_equal(found[5], expected["kv"])
    with pytest.raises(TypeError, match="token_x"):
        mla_prolog.npu_mla_prolog_v3_functional(*own.values(), index)


# --- layouts of the caches ------------------------------------------------------------------------


def panels(rows: Tensor) -> Tensor:
    """A paged cache in PA_NZ, element for element."""
    pages, size, _, width = rows.shape
    flat = torch.empty(rows.numel(), dtype=rows.dtype)
    for page in range(pages):
        for row in range(size):
            for c in range(width):
                at = page * size * width + c // 16 * size * 16 + row * 16 + c % 16
                flat[at] = rows[page, row, 0, c]
    return flat.view(rows.shape)


@pytest.mark.parametrize("call", ["npu_mla_prolog_v2", "npu_mla_prolog_v3"])
@TOKENS
def test_caches_in_panels_hold_the_same_rows(tokens: tuple[int, ...], call: str) -> None:
    given = inputs(*tokens)
    expected = native(given)
    own = copies(given)
    own.update(kv_cache=panels(given["kv_cache"]), kr_cache=panels(given["kr_cache"]))
    query = getattr(torch_npu, call)(**own, cache_mode="PA_NZ")[0]
    assert_equal(query, expected["query"])
    assert_equal(own["kv_cache"], panels(expected["kv"]))
    assert_equal(own["kr_cache"], panels(expected["kr"]))
    assert not torch.equal(panels(expected["kv"]), expected["kv"])


@pytest.mark.parametrize(("mode", "tokens"), [("BSND", (2, 3)), ("TND", (6,))])
def test_caches_may_have_a_row_for_each_token(mode: str, tokens: tuple[int, ...]) -> None:
    given = inputs(*tokens)
    given["cache_index"] = torch.arange(6).view(tokens)
    given.update(kv_cache=random(2, 3, 1, LATENT), kr_cache=random(2, 3, 1, ROPE))
    expected = native(given)
    for call in (torch_npu.npu_mla_prolog_v3, custom.npu_mla_prolog_v3):
        own = copies(given)
        del own["cache_index"]
        caches = {name: own[name].view(*tokens, 1, -1) for name in ("kv_cache", "kr_cache")}
        results = call(**{**own, **caches}, cache_mode=mode)
        assert_equal(results[0], expected["query"])
        assert_equal(own["kv_cache"], expected["kv"])
        assert_equal(own["kr_cache"], expected["kr"])


@pytest.mark.parametrize(
    ("mode", "tokens", "change", "line"),
    [
        (
            "PA_BLK_NZ",
            (6,),
            {},
            "cache_mode: expected PA_BSND or PA_NZ or BSND or TND, got PA_BLK_NZ",
        ),
        ("PA_BSND", (6,), {"cache_index": None}, "cache_index: required, but absent"),
        (
            "BSND",
            (6,),
            {},
            "kv_cache: expected [B, S, 1, width] and token_x [B, S, H] with cache_mode BSND, "
            "got [3, 4, 1, 32] and [6, 64]",
        ),
        (
            "TND",
            (6,),
            {"kv_cache": random(5, 1, LATENT)},
            "kv_cache: expected [T, 1, width] and token_x [T, H] with cache_mode TND, "
            "got [5, 1, 32] and [6, 64]",
        ),
        (
            "TND",
            (6,),
            {"kv_cache": random(6, 1, LATENT)},
            "kr_cache: expected [T, 1, width] and token_x [T, H] with cache_mode TND, "
            "got [3, 4, 1, 16] and [6, 64]",
        ),
        (
            "PA_NZ",
            (6,),
            {"kv_cache": random(PAGES, PAGE, 1, 24)},
            "kv_cache: expected a contiguous tensor [pages, page_size, 1, a multiple of 16] with "
            "cache_mode PA_NZ, got [3, 4, 1, 24] with strides [96, 24, 24, 1]",
        ),
        (
            "PA_NZ",
            (6,),
            {"kr_cache": random(PAGES, PAGE, 2, ROPE)[:, :, :1]},
            "kr_cache: expected a contiguous tensor [pages, page_size, 1, a multiple of 16] with "
            "cache_mode PA_NZ, got [3, 4, 1, 16] with strides [128, 32, 16, 1]",
        ),
    ],
)
def test_caches_that_fit_no_layout_are_refused(
    mode: str, tokens: tuple[int, ...], change: dict[str, Any], line: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        torch_npu.npu_mla_prolog_v3(**{**inputs(*tokens), **change}, cache_mode=mode)
    if mode != "PA_BSND":
        refused = r"^cache_mode: expected PA_BSND or PA_NZ, got" if mode != "PA_NZ" else r"^k[vr]_c"
        with pytest.raises(ValueError, match=refused):
            torch_npu.npu_mla_prolog_v2(**{**inputs(*tokens), **change}, cache_mode=mode)


# --- scales ---------------------------------------------------------------------------------------


def test_scales_follow_the_norms() -> None:
    given = inputs(6)
    plain, own = native(given), copies(given)
    results = torch_npu.npu_mla_prolog_v3(
        **own, query_norm_flag=True, qc_qr_scale=2.0, kc_scale=0.25
    )
    assert_equal(results[3], plain["query_norm"] * 2)
    assert_equal(results[0], plain["query"] * 2)
    assert_equal(results[1], plain["query_rope"] * 2)
    stored = torch.tensor([9, 2, 7, 0])  # slots
    rows = own["kv_cache"].flatten(0, 2)
    assert_equal(rows[stored], plain["kv"].flatten(0, 2)[stored] * 0.25)
    assert_equal(own["kr_cache"], plain["kr"])


@pytest.mark.parametrize(
    ("name", "gamma", "scale"),
    [
        ("qc_qr_scale", "rmsnorm_gamma_cq", 3.0),
        ("kc_scale", "rmsnorm_gamma_ckv", 0.0),
        ("kc_scale", "rmsnorm_gamma_ckv", -2.0),
        ("qc_qr_scale", "rmsnorm_gamma_cq", float("inf")),
        ("qc_qr_scale", "rmsnorm_gamma_cq", float("nan")),
    ],
)
def test_scales_that_a_norm_cannot_take_exactly_are_refused(
    name: str, gamma: str, scale: float
) -> None:
    line = f"{name}: expected a power of two ({gamma} takes it), got {scale}"
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        torch_npu.npu_mla_prolog_v3(**inputs(6), **{name: scale})
    half = {n: t.half() if t.is_floating_point() else t for n, t in inputs(6).items()}
    line = f"^{gamma}: expected dtype bfloat16 with {name}, got float16$"
    with pytest.raises(ValueError, match=line):
        torch_npu.npu_mla_prolog_v3(**half, **{name: 2.0})


# --- 8 bits, and complaints -----------------------------------------------------------------------

SCALES = (
    "dequant_scale_x",
    "dequant_scale_w_dq",
    "dequant_scale_w_uq_qr",
    "dequant_scale_w_dkv_kr",
    "quant_scale_ckv",
    "quant_scale_ckr",
    "smooth_scales_cq",
)
MODES = (
    "weight_quant_mode",
    "kv_cache_quant_mode",
    "query_quant_mode",
    "ckvkr_repo_mode",
    "quant_scale_repo_mode",
)
DTYPES = ("token_x", "weight_dq", "weight_uq_qr", "weight_dkv_kr", "kv_cache")
FORMS = ("npu_mla_prolog", "npu_mla_prolog_v2", "npu_mla_prolog_v3", "npu_mla_prolog_v3_functional")
WHY = "16-bit weights and caches only"


@pytest.mark.parametrize("form", FORMS)
def test_what_belongs_to_eight_bits_is_refused(form: str) -> None:
    def line_of(call: Callable[..., Any], **change: Any) -> str:
        with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
            call(**{**inputs(6), **change})
        return str(caught.value)

    third = "_v3" in form
    spaces = (torch_npu, custom) if third else (torch_npu,)
    for call in (getattr(space, form) for space in spaces):
        for name in (*SCALES, *(["k_nope_clip_alpha"] if third else [])):
            found = line_of(call, **{name: torch.ones(1, 48)})
            assert found == f"{name}: expected None ({WHY}), got float32 [1, 48]"
        for name in MODES if third else ():
            assert line_of(call, **{name: 1}) == f"{name}: expected 0 ({WHY}), got 1"
        found = line_of(call, token_x=inputs(6)["token_x"].to(torch.int8))
        assert found == "token_x: expected dtype float16, bfloat16 or float32, got int8"
        found = line_of(call, weight_uq_qr=inputs(6)["weight_uq_qr"].to(torch.int8))
        assert found == "weight_uq_qr: expected dtype bfloat16 as token_x, got int8"
    for name in (f"{tensor}_dtype" for tensor in DTYPES):
        if third:
            found = line_of(getattr(torch_npu, form), **{name: 290})
            assert found == f"{name}: expected None ({WHY}), got 290"


def test_complaints_name_the_arguments_of_the_call() -> None:
    given = inputs(6)
    for name, tensor in given.items():
        if name in ("token_x", "cache_index"):
            continue
        with pytest.raises(ValueError, match=rf"^{name}: expected shape \[.*\], got \["):
            torch_npu.npu_mla_prolog_v3(**{**given, name: tensor[None]})
    with pytest.raises(ValueError, match=r"^rmsnorm_epsilon_cq: expected .*, got -1"):
        torch_npu.npu_mla_prolog_v2(**given, rmsnorm_epsilon_cq=-1.0)
    with pytest.raises(RuntimeError, match=r"^token_x: expected a tensor without gradient"):
        torch_npu.npu_mla_prolog(**{**given, "token_x": given["token_x"].requires_grad_()})
    with pytest.raises(ValueError, match=r"^actual_seq_len: expected"):
        torch_npu.npu_nsa_compress(random(80, 2, 16), random(32, 2), 32, 16, actual_seq_len=[81])


# --- the indexer's prolog -------------------------------------------------------------------------


def indexer_inputs() -> dict[str, Any]:
    given, none = inputs(6), torch.empty(0)
    return {
        "token_x": given["token_x"],
        "q_norm": random(6, LOW),
        "q_norm_scale": none,
        "wq_b": random(LOW, 16 * 32),
        "wq_b_scale": none,
        "wk": random(HIDDEN, 32),
        "weights_proj": random(HIDDEN, 16),
        "ln_gamma_k": random(32),
        "ln_beta_k": random(32)[::1] + 1,
        "cos_idx_rope": given["rope_cos"],
        "sin_idx_rope": given["rope_sin"] + 1,
        "hadamard_q": none,
        "hadamard_k": none,
        "idx_k_cache": random(PAGES, PAGE, 1, 32),
        "idx_k_scale_cache": none,
        "idx_k_cache_index": given["cache_index"],
        "layernorm_epsilon_k": 1e-4,
    }


def test_the_prolog_of_pypto_is_the_indexers_in_16_bits() -> None:
    given = indexer_inputs()
    cache = given["idx_k_cache"].clone()
    expected = torch.ops.tamis.indexer_prolog(
        given["token_x"],
        given["wk"],
        given["ln_gamma_k"],
        given["ln_beta_k"],
        given["sin_idx_rope"],
        given["cos_idx_rope"],
        given["idx_k_cache_index"],
        cache,
        query_norm=given["q_norm"],
        w_idx_qb=given["wq_b"],
        w_idx_proj=given["weights_proj"],
        epsilon=1e-4,
    )
    for space in (custom_pypto, torch.ops.custom_pypto):
        own = {**given, "idx_k_cache": given["idx_k_cache"].clone()}
        query, scale, weights = space.npu_lightning_indexer_prolog_pto(*own.values())
        assert_equal(query, expected[0])
        assert_equal(weights, expected[1])
        assert scale.numel() == 0
        assert_equal(own["idx_k_cache"], cache)
    assert not torch.equal(cache, given["idx_k_cache"])


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"q_norm": torch.ones(6, LOW, dtype=torch.int8)},
            "q_norm: expected dtype bfloat16 as token_x (no kernel takes 8 bits), got int8",
        ),
        (
            {"wq_b": torch.ones(LOW, 512, dtype=torch.int8)},
            "wq_b: expected dtype bfloat16 as token_x (no kernel takes 8 bits), got int8",
        ),
        (
            {"idx_k_cache": torch.ones(PAGES, PAGE, 1, 32, dtype=torch.int8)},
            "idx_k_cache: expected dtype bfloat16 as token_x (no kernel takes 8 bits), got int8",
        ),
        (
            {"hadamard_k": torch.eye(32).bfloat16()},
            "hadamard_k: expected an empty tensor (16 bits need none), got bfloat16 [32, 32]",
        ),
        (
            {"q_norm_scale": torch.ones(6, 1)},
            "q_norm_scale: expected an empty tensor (16 bits need none), got float32 [6, 1]",
        ),
        ({"layout_query": "BSND"}, "layout_query: expected TND, got BSND"),
        ({"layout_key": "TND"}, "layout_key: expected PA_BSND, got TND"),
        (
            {"ln_beta_k": random(31)},
            "ln_beta_k: expected shape [index dim Di = 32 as wk has], got [31]",
        ),
        (
            {"weights_proj": random(63, 16)},
            "weights_proj: expected shape [hidden size H = 64 as token_x has, index heads Ni], "
            "got [63, 16]",
        ),
    ],
)
def test_the_prolog_of_pypto_refuses_eight_bits(change: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        custom_pypto.npu_lightning_indexer_prolog_pto(**{**indexer_inputs(), **change})


# --- graphs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["PA_BSND", "PA_NZ"])
@pytest.mark.parametrize("form", FORMS)
def test_compiled_and_exported_prologs_update_the_same_caches(form: str, mode: str) -> None:
    class Layer(torch.nn.Module):
        def __init__(self, call: Callable[..., Any]) -> None:
            super().__init__()
            self.call = call

        def forward(self, given: dict[str, Tensor]) -> Any:
            results = self.call(**given, cache_mode=mode)
            return [results[0] + 1, *results[2:4], given["kv_cache"] + 1]

    torch._dynamo.reset()  # calls count towards a limit of recompilations
    given = inputs(6)
    caches = ("kv_cache", "kr_cache")
    wanted = copies(given)
    expected = Layer(getattr(torch_npu, form))(wanted)
    assert (form == FORMS[-1]) == torch.equal(wanted["kv_cache"], given["kv_cache"])
    for space in (torch_npu, torch.ops.npu):
        layer = Layer(getattr(space, form))
        exported = torch.export.export(layer, (copies(given),)).module()
        for run in (torch.compile(layer, backend="aot_eager", fullgraph=True), exported):
            own = copies(given)
            for found, other in zip(run(own), expected, strict=True):
                assert_equal(found, other)
            for name in caches:
                assert_equal(own[name], wanted[name])


# --- formats of weights ---------------------------------------------------------------------------


def cast(weight: Tensor) -> Tensor:
    found: Tensor = torch_npu.npu_format_cast(weight, 29)
    return found


def of_bytes(weight: Tensor) -> Tensor:
    found: Tensor = torch.ops.tamis.nd_to_nz(weight)
    return found


NZ = ("weight_dq", "weight_uq_qr", "weight_dkv_kr", "wq_b", "wk", "weights_proj")


def changed(given: dict[str, Any], change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    return {
        name: change(t.clone()) if name in NZ else t.clone() if isinstance(t, Tensor) else t
        for name, t in given.items()
    }


def calls_that_read_weights() -> list[tuple[Callable[..., Any], dict[str, Any]]]:
    return [
        *((getattr(torch_npu, form), inputs(6)) for form in FORMS),
        *((getattr(custom, form), inputs(6)) for form in FORMS[2:]),
        *((getattr(torch.ops.npu, form), inputs(6)) for form in FORMS),
        (custom_pypto.npu_lightning_indexer_prolog_pto, indexer_inputs()),
    ]


def test_weights_are_nz_bytes_unless_they_were_cast() -> None:
    for call, given in calls_that_read_weights():
        tamis.npu_compat.enable(weight_format="ND")
        expected = call(**changed(given, torch.clone))[0]
        tamis.npu_compat.enable(weight_format="tagged")
        for change in (cast, of_bytes):
            assert_equal(call(**changed(given, change))[0], expected)
        assert not torch.equal(call(**changed(given, torch.clone))[0], expected)
        for name in NZ:  # one weight of another kind than the others
            if name in given:
                mixed = changed(given, cast)
                mixed[name] = of_bytes(given[name])
                assert_equal(call(**mixed)[0], expected)


class Graph(torch.nn.Module):
    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__()
        self.call = call

    def forward(self, given: dict[str, Tensor]) -> Tensor:
        found: Tensor = self.call(**given)[0]
        return found


class OfResults(Graph):
    def forward(self, given: dict[str, Tensor]) -> Tensor:
        return super().forward({**given, **{n: given[n].clone() for n in NZ if n in given}})


@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_graphs_of_torchair_read_weights_as_calls_do(backend: str) -> None:
    for call, given in calls_that_read_weights():
        tamis.npu_compat.enable(weight_format="ND")
        expected = call(**changed(given, torch.clone))[0]
        tamis.npu_compat.enable(weight_format="tagged", graph_backend=backend)
        torch.compiler.reset()
        graph = torch.compile(Graph(call), backend=torchair.get_npu_backend(), fullgraph=True)
        for change in (cast, of_bytes):
            assert_equal(graph(changed(given, change)), expected)
        graph = torch.compile(OfResults(call), backend=torchair.get_npu_backend(), fullgraph=True)
        with pytest.raises(RuntimeError, match=r"(weight_dq|wq_b): expected an input of the graph"):
            graph(changed(given, cast))


def test_other_graphs_ask_for_the_format() -> None:
    tamis.npu_compat.enable(weight_format="tagged")
    for call, given in calls_that_read_weights():
        torch.compiler.reset()
        graph = torch.compile(Graph(call), backend="aot_eager", fullgraph=True)
        with pytest.raises(RuntimeError, match=r"enable\(weight_format='ND'\)"):
            graph(changed(given, cast))
