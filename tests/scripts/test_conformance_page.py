"""docs/conformance.md has a line for every line of the documents, and the tests it names exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")

# What each document has: its parameters in order, and how many lines of every other kind.
PARAMETERS = {
    "000": "query key value scale l' l d attentionOut topkIndices",
    "001": "input weight actSeqLenOptional layoutOptional compressBlockSize compressStride "
    "actSeqLenType output",
    "002": "query key value scale_value head_num compress_block_size compress_stride "
    "select_block_size select_block_count topk_mask atten_mask actual_seq_qlen "
    "actual_cmp_seq_kvlen actual_sel_seq_kvlen",
    "003": "x w_dq w_uq_qr w_uk w_dkv_kr gamma_cq gamma_ckv sin cos cache_index kv_cache kr_cache "
    "block_table act_seqs w_idx_qb w_idx_k w_idx_proj in_gamma_k in_beta_k index_k_cache",
    "004": "query key value sparse_indices scale_value sparse_block_size * block_table "
    "actual_seq_lengths_query actual_seq_lengths_kv query_rope key_rope layout_query layout_kv "
    "sparse_mode",
}
OTHERS = {
    "000": {"F": 5, "C": 13},
    "001": {"F": 1, "C": 9},
    "002": {"G": 1, "R": 4, "C": 4, "E": 1},
    "003": {"F": 7, "G": 1, "R": 1, "C": 3, "E": 1},
    "004": {"F": 1, "G": 1, "N": 2, "R": 1, "C": 8, "E": 1},
}

Row = list[str]  # its cells


def rows(first_cell: str) -> list[Row]:
    """Rows of tables whose first cell fits the pattern."""
    found = re.findall(rf"^\| (?={first_cell})(.*) \|$", PAGE, re.M)
    return [re.split(r" \| ", row) for row in found]


def written_tests() -> set[str]:
    """`Suite.Name` of the tests in C++, `test_file.py::test_name` of those in Python."""
    tests: set[str] = set()
    for folder in ("src/ops", "tests"):
        for path in (ROOT / folder).rglob("*test.cc"):
            source = path.read_text(encoding="utf-8")
            macros = re.findall(r"^TEST(?:_F)?\((\w+), (\w+)\)", source, re.M)
            tests.update(f"{suite}.{name}" for suite, name in macros)
    for path in (ROOT / "tests").rglob("test_*.py"):
        source = path.read_text(encoding="utf-8")
        tests.update(f"{path.name}::{n}" for n in re.findall(r"^def (test_\w+)\(", source, re.M))
    return tests


def assert_held(row: Row, written: set[str]) -> None:
    named = re.findall(r"`([^`]+)`", row[-1])
    assert named, f"no test: {row}"
    assert set(named) <= written, f"{row[0]}: unknown: {sorted(set(named) - written)}"


def test_every_line_of_the_documents_has_a_line_here() -> None:
    found = rows(r"00\d\.")
    assert all(len(row) == 5 and all(row) for row in found), "five cells, none empty"
    kinds = "FGNPRCE"
    expected = []
    for document, names in PARAMETERS.items():
        counts = OTHERS[document] | {"P": len(names.split())}
        for kind in kinds:
            expected += [f"{document}.{kind}{i + 1}" for i in range(counts.get(kind, 0))]
    assert [row[0].split(" ")[0] for row in found] == expected
    for document, names in PARAMETERS.items():
        listed = [row[0].split("`")[1] for row in found if row[0].startswith(f"{document}.P")]
        assert listed == names.split(), document


def test_every_line_of_the_documents_is_held_by_tests_that_exist() -> None:
    written = written_tests()
    for row in rows(r"00\d\."):
        assert_held(row, written)


def test_every_strict_test_holds_a_line() -> None:
    """A test of what strict refuses or takes without a line of a document would be a limit too."""
    documented = "nsa_compress nsa_compress_attention nsa_compress_attention_infer "
    documented += "sparse_attention_pto sparse_flash_attention"
    undocumented = ("NsaCompressGrad", "NsaCompressInfer")  # operators of the same rooms
    named = set(re.findall(r"`(\w+\.\w+)`", PAGE))
    for room in documented.split():
        for path in sorted((ROOT / "src/ops" / room).glob("*test.cc")):
            source = path.read_text(encoding="utf-8")
            for suite, name in re.findall(r"^TEST\((\w+), (\w*Strict\w*)\)", source, re.M):
                held = f"{suite}.{name}" in named
                assert held or suite in undocumented, f"{suite}.{name}"


def test_every_line_of_the_family_names_tests_that_exist() -> None:
    found = rows(r"\d+ \|")
    assert [int(row[0]) for row in found] == list(range(1, 21))
    written = written_tests()
    for row in found:
        assert_held(row, written)


def test_every_test_beside_a_peer_has_a_line_and_every_line_a_test() -> None:
    section = PAGE.split("\n## Peers\n")[1].split("\n## ")[0]
    named = re.findall(r" \| `(test_\w+\.py::test_\w+)` \|$", section, re.M)
    files = {path.name for path in (ROOT / "tests/peers").glob("test_*.py")}
    written = {name for name in written_tests() if name.split("::")[0] in files}
    assert sorted(named) == sorted(written)
