"""What the models of examples/train learn from: text without mark-up, tokens, needles."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from proof import corpus, needles
from proof.vocabulary import Vocabulary
from train_tools import SMALL, reading

LENGTH = 512

PAGE = r""".\" Copyright
.TH READ 2 2026-11-30 "Linux man-pages"
.SH NAME
read \- read from a file descriptor
.SH "SEE ALSO"
.BI "ssize_t read(int " fd ", void *" buf );
.PP
The \fIcount\fP of \f[B]bytes\f[R] isn\(aqt signed\c
.nf
"""


def test_a_manual_page_loses_its_markup_and_keeps_its_words() -> None:
    assert corpus.without_markup(PAGE).splitlines() == [
        "NAME",
        "read - read from a file descriptor",
        "SEE ALSO",
        "ssize_t read(int  fd , void * buf );",
        "The count of bytes isn't signed",
    ]


def test_the_corpus_is_what_packages_have_installed(tmp_path: Path) -> None:
    page, other = Path("/usr/share/man/man2/read.2.gz"), "/usr/share/man/man1/read.1.gz"
    (tmp_path / "manpages.list").write_text(f"/usr\n{page}\n{other}\n")
    assert corpus.files(tmp_path) == [p for p in [page] if p.exists()]
    with pytest.raises(FileNotFoundError, match=r"install the Debian packages manpages and manp"):
        corpus.pages(tmp_path)


def test_pages_are_read_packed_and_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, plain = tmp_path / "read.2.gz", tmp_path / "GPL-3"
    packed.write_bytes(gzip.compress(PAGE.encode()))
    plain.write_text(".SH is text here")
    monkeypatch.setattr(corpus, "files", lambda _: [packed, plain] * 50)
    found = corpus.pages()
    assert found[:2] == [corpus.without_markup(PAGE), ".SH is text here"]
    assert len(found) == 100


def test_a_vocabulary_has_frequent_words_and_spells_the_others() -> None:
    text = "the cat  and the dog\n\n  and the cow: 42 caf\u00e9\n"
    vocabulary = Vocabulary([text], 40)
    assert len(vocabulary.names) <= 40
    assert " the" in vocabulary.names
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == "the cat and the dog\nand the cow: 42 caf?\n"
    assert vocabulary.names == Vocabulary([text], 40).names
    assert vocabulary.decode(vocabulary.encode(" the xylophone")) == " the ???o?hone"


def test_a_needle_can_be_read_where_it_stands_first() -> None:
    batch = reading().needles(1).batch(0, 3, LENGTH)
    assert batch.ids.shape == batch.targets.shape == (3, LENGTH)
    assert torch.equal(batch.ids[:, 1:], batch.targets[:, :-1])
    per_needle = needles.LENGTH - needles.CUE
    assert batch.marked.sum(1).tolist() == [LENGTH // needles.APART * per_needle] * 3
    row, place = batch.marked.nonzero(as_tuple=True)
    source = batch.sources[row, place]
    assert torch.equal(batch.ids[row, source], batch.targets[row, place])
    # The cue has been read, there and here, when what follows it is asked for.
    for back in range(needles.CUE):
        assert torch.equal(batch.ids[row, source - 1 - back], batch.ids[row, place - back])
    assert (place - source).min() >= LENGTH // 8
    assert batch.sources[~batch.marked].eq(0).all()


def test_all_but_needles_is_text() -> None:
    found = reading().needles(1).batch(0, 1, LENGTH)
    text, row = reading().text, found.ids[0].numpy()
    windows = np.lib.stride_tricks.sliding_window_view(text, LENGTH)
    alike = (windows == row).sum(1).max()
    inside = 2 * LENGTH // needles.APART * needles.LENGTH
    assert LENGTH - inside <= alike < LENGTH


def test_a_batch_has_a_number_and_no_past() -> None:
    one, other = reading().needles(1), reading().needles(1)
    first = one.batch(7, 2, LENGTH)
    other.batch(3, 2, LENGTH)
    assert all(map(torch.equal, first, other.batch(7, 2, LENGTH)))
    assert not torch.equal(first.ids, one.batch(8, 2, LENGTH).ids)
    assert not torch.equal(first.ids, reading().needles(2).batch(7, 2, LENGTH).ids)


def test_what_is_kept_back_is_not_learned() -> None:
    found = reading()
    assert len(found.vocabulary.names) == SMALL.vocabulary
    assert 0 < len(found.kept) < len(found.text) / 8
    learned = found.vocabulary.decode(found.text)
    kept = found.vocabulary.decode(found.kept)
    assert kept[100:300] not in learned
