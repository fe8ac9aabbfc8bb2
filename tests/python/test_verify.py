"""`tamis verify` on results as a device computes them: what agrees, what differs, and where."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from python_calls import BINARY, Array, call, make_case

import tamis
from tamis.case import Case

DTYPES = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


def verify(path: Path, *options: str | Path) -> tuple[bool, str]:
    """Whether the case agrees, and what was printed."""
    done = subprocess.run(
        [BINARY, "verify", path, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0, done.stdout


def attend(query: Array, key: Array, value: Array, scale: float, hidden: Array) -> Any:
    """One head as the device computes it: probabilities are rounded before they meet values."""
    score = np.float32(scale) * (query.astype("f4") @ key.astype("f4").T)
    score[hidden] = -np.finfo(np.float32).max
    largest = score.max(1, keepdims=True)
    weight = np.exp(score - largest)
    total = weight.sum(1, keepdims=True)
    rounded = (weight / total).astype(value.dtype).astype("f4")
    out = (rounded @ value.astype("f4")).astype(value.dtype)
    return out, largest[:, 0], total[:, 0]


def on_the_device(tmp_path: Path, dtype: str) -> Case:
    """nsa_compress_attention: packed sequences of 100, 30 and 150 tokens, 4 heads of 18."""
    random = np.random.default_rng(3)
    ends, key_ends = [100, 130, 280], [40, 52, 112]
    of = DTYPES[dtype]
    query = random.standard_normal((280, 4, 64)).astype(of)
    key = random.standard_normal((112, 2, 64)).astype(of)
    value = random.standard_normal((112, 2, 18)).astype(of)
    mask = np.triu(np.ones((150, 60), bool), 1)
    attributes = {
        "scale_value": 0.125,
        "head_num": 4,
        "compress_block_size": 32,
        "compress_stride": 16,
        "select_block_size": 64,
        "select_block_count": 3,
        "accuracy": "fp32",  # else the reference's bounds have room for 16-bit integers
        "actual_seq_qlen": ends,
        "actual_cmp_seq_kvlen": key_ends,
    }
    tensors = {"query": query, "key": key, "value": value, "atten_mask": mask}
    out = np.zeros((280, 4, 18), of)
    largest, total = np.zeros((280, 4), "f4"), np.zeros((280, 4), "f4")
    for b, (begin, key_begin) in enumerate(zip([0, *ends], [0, *key_ends], strict=False)):
        if b == len(ends):
            break
        q, k = slice(begin, ends[b]), slice(key_begin, key_ends[b])
        hidden = mask[: ends[b] - begin, : key_ends[b] - key_begin]
        for head in range(4):
            kv = key[k, head // 2], value[k, head // 2]
            out[q, head], largest[q, head], total[q, head] = attend(
                query[q, head], *kv, 0.125, hidden
            )
    topk = call(Case("nsa_compress_attention", tensors, attributes))["topk_indices"]
    case = Case("nsa_compress_attention", tensors, attributes)
    case.expected = {"attention_out": out, "topk_indices": topk}
    case.expected |= {"softmax_max": largest, "softmax_sum": total}
    tamis.case.write(tmp_path / "case.safetensors", case)
    return case


def rewritten(tmp_path: Path, case: Case, **expected: Array) -> Path:
    path = tmp_path / "changed.safetensors"
    tamis.case.write(path, Case(case.op, case.tensors, case.attributes, case.expected | expected))
    return path


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_a_device_computes_agrees_and_not_as_fp32(tmp_path: Path, dtype: str) -> None:
    on_the_device(tmp_path, dtype)
    path = tmp_path / "case.safetensors"
    agrees, text = verify(path)
    assert agrees, text
    agrees, text = verify(path, "--tolerance", "fp32")
    assert not agrees
    assert text.startswith("attention_out differs at ")
    assert "softmax_sum differs" not in text
    # For that output alone.
    assert verify(path, "--tolerance", "fp32", "--tolerance", "attention_out=device")[0]
    assert not verify(path, "--tolerance", "attention_out=fp32")[0]
    # Few rows for the reference: the others lie within the largest of their bounds.
    agrees, text = verify(path, "--rows", "8")
    assert agrees, text
    assert "rows that are not the same the reference judged" in text


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", ["8", "256"])
@pytest.mark.parametrize(
    "options", [(), ("--tolerance", "fp32"), ("--tolerance", "attention_out=8e-3")]
)
def test_wrong_statistics_differ(
    tmp_path: Path, dtype: str, rows: str, options: tuple[str, ...]
) -> None:
    case = on_the_device(tmp_path, dtype)
    for name in ("softmax_sum", "softmax_max"):
        wrong = case.expected[name].copy()
        wrong[200:203, 2] *= np.float32(1.001)
        path = rewritten(tmp_path, case, **{name: wrong})
        agrees, text = verify(path, "--rows", rows, *options)
        assert not agrees
        assert f"{name} differs at [200, 2] (sequence 2, token 70, head 2): head 2, tokens" in text


@pytest.mark.parametrize("rows", ["8", "256"])
def test_a_head_of_three_tokens_among_a_devices_roundings_is_located(
    tmp_path: Path, rows: str
) -> None:
    case = on_the_device(tmp_path, "bfloat16")
    wrong = case.expected["attention_out"].copy()
    wrong[200:203, 2] = wrong[200:203, 1]
    path = rewritten(tmp_path, case, attention_out=wrong)
    agrees, text = verify(path, "--rows", rows)
    assert not agrees
    first = text.splitlines()[0]
    assert first.startswith("attention_out differs at [200, 2, "), first
    assert "(sequence 2, token 70, head 2" in first
    assert "head 2, tokens 200 to 202 (tokens 70 to 72 of sequence 2)" in first


def test_json_holds_what_the_text_says(tmp_path: Path) -> None:
    case = on_the_device(tmp_path, "float16")
    wrong = case.expected["attention_out"].copy()
    wrong[200:203, 2] += np.float16(1)
    wrong[201, 2, 3] = np.nan
    path = rewritten(tmp_path, case, attention_out=wrong)
    agrees, text = verify(path, "--json")
    told = json.loads(text)
    assert not agrees
    assert told["agrees"] is False
    assert told["operator"] == "nsa_compress_attention"
    out, topk, largest, total = told["outputs"]
    assert [o["output"] for o in told["outputs"]] == [*case.expected]
    assert out["agrees"] is False
    assert out["tolerance"] == "device"
    assert out["mismatches"] == 3 * 18
    assert out["where"] == "sequence 2, token 70, head 2"
    assert out["pattern"].startswith("all 18 channels of head 2, tokens 200 to 202")
    assert out["first"][0]["index"] == [200, 2, 0]
    assert out["first"][0]["file"] == float(wrong[200, 2, 0])
    assert abs(out["first"][0]["tamis"] - out["first"][0]["reference"]) < 1e-3
    assert all(other["agrees"] for other in (topk, largest, total))
    agrees, text = verify(tmp_path / "case.safetensors", "--json")
    assert agrees
    assert json.loads(text)["agrees"] is True


def test_the_difference_file_holds_every_element(tmp_path: Path) -> None:
    case = on_the_device(tmp_path, "float16")
    wrong = case.expected["attention_out"].copy()
    wrong[200:203, 2] += np.float16(1)
    path = rewritten(tmp_path, case, attention_out=wrong)
    to = tmp_path / "difference.safetensors"
    verify(path, "--difference", to)
    found = tamis.case.read(to).tensors
    ours = call(case)["attention_out"]
    assert np.array_equal(found["attention_out.difference"], wrong.astype("f4") - ours.astype("f4"))
    where = np.zeros(wrong.shape, bool)
    where[200:203, 2] = True
    assert np.array_equal(found["attention_out.differs"], where)
    assert not found["softmax_sum.differs"].any()
    # Against the reference: rows that were not asked for are NaN.
    assert verify(path, "--against", "reference", "--rows", "2", "--difference", to)[0]
    found = tamis.case.read(to).tensors
    asked = ~np.isnan(found["attention_out.difference"]).any(axis=(1, 2))
    assert np.flatnonzero(asked).tolist() == [0, 279]


def test_another_selection_that_is_as_good_agrees_with_what_follows_from_it(
    tmp_path: Path,
) -> None:
    """Without weights of index heads all scores are 0, and every selection is as good."""
    case = make_case(tmp_path, "sparse_attention_pto", "bfloat16")
    case.tensors["w_idx_proj"] = np.zeros_like(case.tensors["w_idx_proj"])
    before = {name: tensor.copy() for name, tensor in case.tensors.items()}
    t = {name: tensor.copy() for name, tensor in case.tensors.items()}
    ours = call(Case(case.op, {n: v.copy() for n, v in t.items()}, case.attributes))
    theirs = ours["sparse_indices"] + 7  # 0 to 7 become 7 to 14, of 19 to 22
    names = ("x", "w_dq", "w_uq_qr", "w_uk", "w_dkv_kr", "gamma_cq", "gamma_ckv", "sin", "cos")
    caches = ("cache_index", "kv_cache", "kr_cache")
    prolog = call(Case("mla_prolog", {name: t[name] for name in (*names, *caches)}))
    out = tamis.sparse_flash_attention(
        *(prolog["query"], t["kv_cache"], theirs),
        scale_value=0.2,
        query_rope=prolog["query_rope"],
        key_rope=t["kr_cache"],
        block_table=t["block_table"],
        actual_seq_lengths_kv=t["act_seqs"],
        layout_kv="PA_BSND",
    ).out
    path = tmp_path / "changed.safetensors"

    def agrees(**expected: Array) -> tuple[bool, str]:
        tamis.case.write(path, Case(case.op, before, case.attributes, expected))
        return verify(path)

    same, text = agrees(out=out, sparse_indices=theirs)
    assert same, text
    assert not agrees(out=out, sparse_indices=ours["sparse_indices"])[0]
    assert not agrees(out=ours["out"], sparse_indices=theirs)[0]
