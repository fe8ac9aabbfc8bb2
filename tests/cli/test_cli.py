"""The command line as a user meets it: exit codes, one line on stderr, what is refused.

Standard library only: `TAMIS_BINARY=build/release/bin/tamis python3 tests/cli/test_cli.py`.
"""

import json
import os
import random
import stat
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

BINARY = os.environ.get("TAMIS_BINARY", "build/release/bin/tamis")
LARGEST_MESSAGE = 2000


def tamis(
    *arguments: str | Path, environment: dict[str, str] | None = None, shell_prefix: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the binary, with `shell_prefix` in front (a limit, a redirection)."""
    command = [BINARY, *map(str, arguments)]
    if shell_prefix:
        command = ["bash", "-c", shell_prefix + ' "$@"', "bash", *command]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, **(environment or {})},
    )


class Stored:
    """A safetensors file taken apart, so that a test can damage it."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        self.header: dict[str, Any] = json.loads(data[8 : 8 + length])
        self.data = data[8 + length :]

    @property
    def metadata(self) -> dict[str, str]:
        metadata: dict[str, str] = self.header["__metadata__"]
        return metadata

    def attrs(self) -> dict[str, Any]:
        attrs: dict[str, Any] = json.loads(self.metadata["tamis.attrs"])
        return attrs

    def set_attrs(self, **changes: Any) -> None:
        self.metadata["tamis.attrs"] = json.dumps({**self.attrs(), **changes})

    def bytes_of(self, name: str) -> bytes:
        begin, end = self.header[name]["data_offsets"]
        return self.data[begin:end]

    def add(self, name: str, dtype: str, shape: list[int], data: bytes) -> None:
        begin = len(self.data)
        self.header[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [begin, begin + len(data)],
        }
        self.data += data

    def add_first(self, name: str, dtype: str, shape: list[int], data: bytes) -> None:
        """Before the others, so that it is aligned whatever they are; `data` of 8 bytes times n."""
        for other, entry in self.header.items():
            if other != "__metadata__":
                entry["data_offsets"] = [at + len(data) for at in entry["data_offsets"]]
        self.header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}
        self.data = data + self.data

    def write(self, path: Path) -> None:
        header = json.dumps(self.header).encode()
        header += b" " * (-len(header) % 8)
        path.write_bytes(struct.pack("<Q", len(header)) + header + self.data)


class CliTest(unittest.TestCase):
    folder: tempfile.TemporaryDirectory[str]
    case: Path

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        cls.case = cls.path("ragged.safetensors")
        made = tamis("case", "new", "nsa_compress", "--shape", "ragged", "-o", cls.case)
        assert made.returncode == 0, made.stderr

    @classmethod
    def tearDownClass(cls) -> None:
        cls.folder.cleanup()

    @classmethod
    def path(cls, name: str) -> Path:
        return Path(cls.folder.name) / name

    def succeeds(self, *arguments: str | Path) -> str:
        done = tamis(*arguments)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    def refused(self, *arguments: str | Path, says: str, **how: Any) -> None:
        """Exit code 2 and exactly one line on stderr that holds `says`."""
        done = tamis(*arguments, **how)
        assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
        assert done.stderr.endswith("\n"), done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("tamis: "), done.stderr
        assert len(done.stderr) < LARGEST_MESSAGE
        assert says in done.stderr, done.stderr

    def damaged(self, name: str = "damaged.safetensors") -> tuple[Stored, Path]:
        return Stored(self.case), self.path(name)

    def with_expected(self, name: str) -> Path:
        """Give the case with its own result as the expected one."""
        output = self.path("output.safetensors")
        self.succeeds("run", self.case, "-o", output)
        result = Stored(output)
        stored, path = self.damaged(name)
        entry = result.header["output"]
        stored.add("expected.output", entry["dtype"], entry["shape"], result.bytes_of("output"))
        stored.write(path)
        return path


class TestUsage(CliTest):
    def test_help_and_version_exit_with_0(self) -> None:
        assert "verify" in self.succeeds("--help")
        assert "--against" in self.succeeds("verify", "--help")
        assert self.succeeds("--version").startswith("tamis ")

    def test_bad_usage_is_one_line_and_exit_code_2(self) -> None:
        self.refused(says="expected one of info, ops")
        self.refused("frobnicate", says="got frobnicate")
        self.refused("case", says="expected one of new, show")
        self.refused("case", "make", says="got make")
        self.refused("run", says="required")
        self.refused("run", self.case, says="--output")
        self.refused("info", "--nonsense", says="--nonsense")
        self.refused("verify", self.case, "one", "more", says="not expected")
        self.refused("verify", self.case, "--rows", "many", says="--rows")
        self.refused("verify", self.case, "--rows", "0", says="--rows: expected at least 1")
        for wrong in ("8e-3", "loose", "output=", "output=-1", "output=nan", "output=1x"):
            self.refused("verify", self.case, "--tolerance", wrong, says="--tolerance")
        self.refused("verify", self.case, "--tolerance", "input=bits", says="an output of nsa_co")
        twice = ("--tolerance", "output=bits", "--tolerance", "output=fp32")
        self.refused("verify", self.case, *twice, says="--tolerance: expected one for output")
        twice = ("--tolerance", "bits", "--tolerance", "fp32")
        self.refused("verify", self.case, *twice, says="--tolerance: expected one for all outputs")
        self.refused("verify", self.case, "--difference", "/dev/null", says="a regular file")
        self.refused("verify", self.case, "--against", "luck", says="expected or reference")
        self.refused("bench", "--json", self.path("absent/x"), says="can be written")
        self.refused("ops", "--json", "--markdown", says="excludes")

    def test_names_that_do_not_exist_are_answered_with_those_that_do(self) -> None:
        self.refused("ops", "nsa", says="one of nsa_compress")
        self.refused("bench", "nsa", says="one of nsa_compress")
        self.refused("bench", "nsa_compress", "--shape", "tiny", says="ragged")
        new = ("case", "new", "nsa_compress", "-o", self.path("x"))
        self.refused(*new, "--shape", "tiny", says="ragged")
        self.refused(
            *new, "--shape", "ragged", "--dtype", "float64", says="float16, bfloat16 or float32"
        )
        self.refused("run", self.case, "-o", self.path("x"), "--impl", "gpu", says="reference")
        self.refused("run", self.case, "-o", self.path("x"), "--level", "sse", says="scalar")
        self.refused("run", self.case, "-o", self.path("x"), "--threads", "-2", says="threads")
        self.refused("run", self.case, "-o", self.path("x"), "--impl", "cuda", says="cuda")
        assert not self.path("x").exists()

    def test_the_environment_is_checked(self) -> None:
        run = ("verify", self.case)
        self.refused(*run, environment={"TAMIS_LEVEL": "sse"}, says="TAMIS_LEVEL")
        self.refused(*run, environment={"TAMIS_NUM_THREADS": "two"}, says="TAMIS_NUM_THREADS")

    def test_a_full_stdout_is_an_error(self) -> None:
        done = tamis("info", shell_prefix="exec >/dev/full;")
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1


class TestListings(CliTest):
    def test_info_names_version_levels_and_threads(self) -> None:
        info = json.loads(self.succeeds("info", "--json"))
        assert info["version"] in self.succeeds("info")
        assert info["levels"][0] == "scalar"
        assert info["level"] in info["levels"]
        assert info["threads"] >= 1
        assert info["gpu"] is None

    def test_ops_lists_every_argument_with_its_default(self) -> None:
        listed = json.loads(self.succeeds("ops", "--json"))
        names = [operator["name"] for operator in listed["operators"]]
        assert "nsa_compress" in names
        for operator in listed["operators"]:
            assert json.loads(self.succeeds("ops", operator["name"], "--json")) == operator
            text = self.succeeds("ops", operator["name"])
            markdown = self.succeeds("ops", operator["name"], "--markdown")
            for argument in operator["arguments"]:
                assert argument["name"] in text
                assert argument["name"] in markdown
            assert "cpu: levels scalar" in text

    def test_shapes_are_listed(self) -> None:
        assert "ragged" in self.succeeds("case", "new", "nsa_compress", "--shape", "list")


class TestCases(CliTest):
    def test_the_same_seed_gives_the_same_file(self) -> None:
        new = ("case", "new", "nsa_compress", "--shape", "ragged", "-o")
        self.succeeds(*new, self.path("same"))
        assert self.path("same").read_bytes() == self.case.read_bytes()
        self.succeeds(*new, self.path("other"), "--seed", "2")
        assert Stored(self.path("other")).data != Stored(self.case).data

    def test_show_lists_what_the_case_holds_and_gives(self) -> None:
        text = self.succeeds("case", "show", self.case)
        for word in ("nsa_compress", "compress_stride", "weight", "[163, 3, 40]", "output"):
            assert word in text

    def test_the_dtype_is_that_asked_for(self) -> None:
        path = self.path("half")
        new = ("case", "new", "nsa_compress", "--shape", "ragged", "--dtype", "float16")
        self.succeeds(*new, "-o", path)
        assert Stored(path).header["input"]["dtype"] == "F16"

    def test_files_have_the_permissions_of_the_umask(self) -> None:
        path = self.path("umask")
        done = tamis(
            *("case", "new", "nsa_compress", "--shape", "ragged", "-o", path),
            shell_prefix="umask 027;",
        )
        assert done.returncode == 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def test_damaged_files_are_refused(self) -> None:
        whole = self.case.read_bytes()
        path = self.path("damaged.safetensors")
        for damage in (
            b"",
            whole[:7],
            whole[:8],
            whole[:100],
            whole[:-1],
            whole + b"\0",
            b"\xff" * 8 + whole[8:],
            whole.replace(b'"BF16"', b'"BF17"', 1),
            whole.replace(b"tamis.op", b"tamis.oq", 1),
            whole.replace(b'"weight"', b'"input "', 1),
            whole.replace(b'"weight"', b'"we\\nht"', 1),
        ):
            path.write_bytes(damage)
            output = self.path("nothing")
            self.refused("run", path, "-o", output, says="expected " if damage else "8 bytes")
            assert not output.exists()
            self.refused("verify", path, says="")
            self.refused("case", "show", path, says="")

    def test_unknown_names_are_refused(self) -> None:
        stored, path = self.damaged()
        stored.metadata["tamis.op"] = "nsa_expand"
        stored.write(path)
        self.refused("run", path, "-o", self.path("x"), says="one of nsa_compress")

        stored, path = self.damaged()
        stored.set_attrs(padding=1)
        stored.write(path)
        self.refused("run", path, "-o", self.path("x"), says="padding: expected an argument")

        for name in ("inputs", "output", "compress_stride", "expected.outputs"):
            stored, path = self.damaged()
            stored.add(name, "U8", [1], b"\0")
            stored.write(path)
            self.refused("verify", path, says=f"{name}: expected an ")

    def test_missing_arguments_are_refused(self) -> None:
        stored, path = self.damaged()
        attrs = stored.attrs()
        del attrs["compress_stride"]
        stored.metadata["tamis.attrs"] = json.dumps(attrs)
        stored.write(path)
        self.refused("run", path, "-o", self.path("x"), says="compress_stride: required")

        stored, path = self.damaged()
        weight = stored.header.pop("weight")
        stored.data = stored.data[: weight["data_offsets"][0]]
        stored.write(path)
        self.refused("run", path, "-o", self.path("x"), says="weight: required")

    def test_attributes_of_another_type_are_refused(self) -> None:
        wrong: tuple[Any, ...] = (
            16.0,
            True,
            "16",
            None,
            [16],
            {"a": 1},
            2**63,
            2**64 + 1,
            -(2**63) - 1,
        )
        for value in wrong:
            stored, path = self.damaged()
            stored.set_attrs(compress_stride=value)
            stored.write(path)
            self.refused("run", path, "-o", self.path("x"), says="compress_stride: expected ")

    def test_attributes_given_twice_are_refused(self) -> None:
        stored, path = self.damaged()
        attrs = stored.metadata["tamis.attrs"]
        stored.metadata["tamis.attrs"] = attrs[:-1] + ', "compress_stride": 16}'
        stored.write(path)
        self.refused(
            "run", path, "-o", self.path("x"), says="compress_stride: expected to be given"
        )

    def test_hostile_lengths_are_refused(self) -> None:
        lengths: tuple[list[int], ...] = (
            [31, 63, 63, 162],
            [31, 63, 62, 163],
            [-1, 163],
            [2**62],
            [],
        )
        for value in lengths:
            stored, path = self.damaged()
            stored.set_attrs(act_seq_len=value)
            stored.write(path)
            self.refused("run", path, "-o", self.path("x"), says="act_seq_len")


class TestRun(CliTest):
    def test_outputs_carry_their_plain_names(self) -> None:
        path = self.path("output.safetensors")
        assert "output" in self.succeeds("run", self.case, "-o", path)
        header = Stored(path).header
        assert header["output"]["shape"] == [6, 3, 40]
        assert set(header) == {"__metadata__", "output"}

    def test_threads_do_not_change_a_bit(self) -> None:
        results = []
        for threads in ("1", "2", "7"):
            path = self.path("threads" + threads)
            self.succeeds("run", self.case, "-o", path, "--threads", threads)
            results.append(path.read_bytes())
        assert results[0] == results[1] == results[2]

    def test_every_implementation_and_level_here_runs(self) -> None:
        path = self.path("level")
        self.succeeds("run", self.case, "-o", path, "--impl", "reference")
        for level in json.loads(self.succeeds("info", "--json"))["levels"]:
            assert level in self.succeeds("run", self.case, "-o", path, "--level", level)

    def test_strict_enforces_what_the_document_prints(self) -> None:
        path = self.path("strict")
        self.refused("run", self.case, "-o", path, "--strict", says="(strict)")
        assert not path.exists()
        stored, case = self.damaged("strict_case")
        stored.set_attrs(strict=True)
        stored.write(case)
        self.refused("run", case, "-o", path, says="(strict)")

    def test_an_output_that_cannot_be_written_is_an_error(self) -> None:
        self.refused("run", self.case, "-o", self.path("absent/file"), says="can be written")
        self.refused("run", self.case, "-o", "/dev/null", says="a regular file")
        self.refused("run", self.case, "-o", self.folder.name, says="a regular file")

    def test_a_full_disk_is_an_error_and_leaves_nothing(self) -> None:
        folder = self.path("full")
        folder.mkdir()
        run = ("run", self.case, "-o", folder / "file")
        self.refused(*run, shell_prefix="ulimit -f 1;", says="to be written")
        assert list(folder.iterdir()) == []

    def test_a_run_over_its_own_case_replaces_it(self) -> None:
        path = self.path("over")
        path.write_bytes(self.case.read_bytes())
        self.succeeds("run", path, "-o", path)
        assert "output" in Stored(path).header


class TestVerify(CliTest):
    def test_agrees_with_the_reference(self) -> None:
        for arguments in ((), ("--impl", "reference"), ("--rows", "2"), ("--against", "reference")):
            text = self.succeeds("verify", self.case, *arguments)
            assert "reference" in text
            assert "agrees" in text
            assert "DIFFERS" not in text

    def test_expected_results_come_first(self) -> None:
        path = self.with_expected("expected")
        assert "expected" in self.succeeds("verify", path)
        assert "expected" not in self.succeeds("verify", path, "--against", "reference")

    def test_a_tampered_expectation_gives_exit_code_1(self) -> None:
        path = self.with_expected("tampered")
        stored = Stored(path)
        _, end = stored.header["expected.output"]["data_offsets"]
        data = bytearray(stored.data)
        data[end - 1] ^= 0x40  # the exponent of the last element
        stored.data = bytes(data)
        stored.write(path)
        for arguments in ((), ("--against", "expected")):
            done = tamis("verify", path, *arguments)
            assert done.returncode == 1
            assert done.stderr == ""
            assert "DIFFERS" in done.stdout
            first = "output differs at [5, 2, 39] (sequence 3, window 4, head 2, channel 39): "
            assert done.stdout.startswith(first), done.stdout
        self.succeeds("verify", path, "--against", "reference")

    def test_a_tolerance_decides(self) -> None:
        assert tamis("verify", self.case, "--tolerance", "output=1e-12").returncode == 1
        self.succeeds("verify", self.case, "--tolerance", "output=0.1")
        self.succeeds("verify", self.case, "--tolerance", "fp32")
        self.succeeds("verify", self.case, "--tolerance", "bits", "--impl", "reference")
        path = self.with_expected("bits")
        self.succeeds("verify", path, "--tolerance", "bits")
        self.succeeds("verify", path, "--tolerance", "bits", "--tolerance", "output=device")

    def test_strict_enforces_what_the_document_prints(self) -> None:
        self.refused("verify", self.case, "--strict", says="(strict)")

    def test_without_expectations_there_is_nothing_to_verify_against(self) -> None:
        self.refused("verify", self.case, "--against", "expected", says="expected.<output>")

    def test_expectations_of_another_shape_or_kind_are_refused(self) -> None:
        for dtype, shape, size in (("BF16", [6, 3, 39], 2), ("I32", [6, 3, 40], 4)):
            stored, path = self.damaged()
            elems = shape[0] * shape[1] * shape[2]
            stored.add("expected.output", dtype, shape, bytes(size * elems))
            stored.write(path)
            self.refused("verify", path, says="expected.output: expected ")


class TestLocating(CliTest):
    """An error planted into one head of three tokens: the first line says where."""

    def planted(
        self, op: str, shape: str, output: str, rows: list[int], head: int, **changes: Any
    ) -> tuple[str, Stored]:
        """Plant into rows (leading dimensions flattened) of `output`, of 16 bits."""
        case, result = self.path(op), self.path(op + ".result")
        self.succeeds("case", "new", op, "--shape", shape, "-o", case)
        stored = Stored(case)
        stored.set_attrs(**changes.pop("attrs", {}))
        for name, new_shape in changes.items():
            stored.header[name]["shape"] = new_shape
        stored.write(case)
        self.succeeds("run", case, "-o", result)
        entry = Stored(result).header[output]
        data = bytearray(Stored(result).bytes_of(output))
        heads, channels = entry["shape"][-2:]
        for row in rows:
            for channel in range(channels):
                data[2 * ((row * heads + head) * channels + channel) + 1] ^= 0x40  # the exponent
        stored.add_first(f"expected.{output}", entry["dtype"], entry["shape"], bytes(data))
        stored.write(case)
        done = tamis("verify", case)
        assert done.returncode == 1, done
        return done.stdout.splitlines()[0], stored

    def test_packed(self) -> None:
        rows = [200, 201, 202]
        first, stored = self.planted("nsa_compress_attention", "ragged", "attention_out", rows, 2)
        assert stored.attrs()["actual_seq_qlen"] == [123, 130, 343]
        assert first == (
            "attention_out differs at [200, 2, 0] (sequence 2, token 70, head 2): all 18 channels "
            "of head 2, tokens 200 to 202 (tokens 70 to 72 of sequence 2)"
        )

    def test_packed_windows(self) -> None:
        first, _ = self.planted("nsa_compress", "ragged", "output", [3, 4, 5], 1)
        assert first == (
            "output differs at [3, 1, 0] (sequence 3, window 2, head 1): all 40 channels of head "
            "1, windows 3 to 5 (windows 2 to 4 of sequence 3)"
        )

    def test_padded(self) -> None:
        rows = [5 + 2, 5 + 3, 5 + 4]
        for op, output, channels in (
            ("sliding_window_attention", "attention_out", 12),
            ("sparse_flash_attention", "out", 40),
        ):
            first, _ = self.planted(op, "small", output, rows, 4)
            assert first == (
                f"{output} differs at [1, 2, 4, 0] (sequence 1, token 2, head 4): all {channels} "
                "channels of head 4, tokens 2 to 4, sequence 1"
            )

    def test_paged(self) -> None:
        first, _ = self.planted(
            *("nsa_compress_attention_infer", "mtp", "attention_out", [3, 4, 5], 6),
            attrs={"layout": "TND", "actual_seq_qlen": [1, 1, 4]},
            query=[6, 8, 65],
        )
        assert first == (
            "attention_out differs at [3, 6, 0] (sequence 2, token 1, head 6): all 18 channels of "
            "head 6, tokens 3 to 5 (tokens 1 to 3 of sequence 2)"
        )

    def test_layers_of_caches(self) -> None:
        first, _ = self.planted("mla_prolog", "small", "query", [1, 2, 3], 2)
        assert first == (
            "query differs at [1, 2, 0] (token 1, head 2): all 32 channels of head 2, tokens 1 to 3"
        )


class TestBench(CliTest):
    def test_writes_a_row_per_thread_count(self) -> None:
        path = self.path("bench.json")
        bench = ("bench", "nsa_compress", "--shape", "ragged", "--rounds", "1")
        text = self.succeeds(*bench, "--json", path)
        assert "GFLOP/s" in text
        rows = json.loads(path.read_text())
        assert rows[0]["threads"] == 1
        for row in rows:
            assert set(row) == {
                *("operator", "shape", "dtype", "level", "threads", "impl", "median_ms", "gflops"),
                *("gbytes_per_s", "bound", "percent_of_bound", "ratio_to_tamis", "max_error"),
            }
            assert row["operator"] == "nsa_compress"
            assert row["impl"] == "tamis"
            assert row["median_ms"] > 0
            assert row["bound"] in ("fma", "read")


class TestDemo(CliTest):
    def test_both_halves_find_the_phrases_of_a_text(self) -> None:
        choice = random.Random(1)
        syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
        words = ["".join(choice.choices(syllables, k=choice.randint(1, 4))) for _ in range(900)]
        path = self.path("text.txt")
        path.write_text(" ".join(choice.choices(words, k=2600)))
        text = self.succeeds("demo", "--quick", "--text", path)
        first, second = text.split("DeepSeek sparse attention")
        assert "Native Sparse Attention" in first
        assert "found 6 of 6 phrases of the text; the reference agrees" in first
        assert "found 5 of 5 phrases of the text; the reference agrees" in second
        assert "sparse_attention_pto" in second

    def test_a_limit_below_one_window_is_refused(self) -> None:
        self.refused("demo", "--tokens", "31", says="--tokens: expected at least")


if __name__ == "__main__":
    unittest.main()
