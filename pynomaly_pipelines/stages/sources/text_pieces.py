"""A stream of bytes -> pieces of UTF-8 text of about one size, cut only where a line or a CSV record ends."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterator
from typing import IO

from pynomaly_pipelines.stages.sources.rows import unreadable

_LONGEST_ROW_PIECES = 4
"""A row may be this many pieces long; a longer one is taken for a quote that is never closed."""


def csv_records(stream: IO[bytes], encoding: str, delimiter: str, where: str, piece_bytes: int) -> Iterator[bytes]:
    """Pieces that hold whole CSV records."""
    yield from _cut(
        _utf8(stream, encoding, where, piece_bytes), piece_bytes, where, lambda d: _records_end(d, delimiter)
    )


def lines(stream: IO[bytes], where: str, piece_bytes: int) -> Iterator[bytes]:
    """Pieces that hold whole lines."""
    yield from _cut(_utf8(stream, "utf-8", where, piece_bytes), piece_bytes, where, lambda d: d.rfind(b"\n") + 1)


def _cut(pieces: Iterator[bytes], size: int, where: str, end_of: Callable[[bytes], int]) -> Iterator[bytes]:
    kept = b""
    for piece in pieces:
        kept += piece
        if len(kept) < size:
            continue
        end = end_of(kept)
        if end:
            yield kept[:end]
            kept = kept[end:]
        elif len(kept) > _LONGEST_ROW_PIECES * size:
            raise unreadable(
                where,
                f"has a row of more than {len(kept) >> 20} MiB, or a quote that is never closed",
                "a row is small against `source: {memory_mb: …}`",
            )
    if kept:
        yield kept


def _records_end(data: bytes, delimiter: str) -> int:
    """Where the last record ends that is certainly whole; 0 if none is."""
    if b'"' not in data:
        return _last_line_end(data)
    # Latin-1 keeps one character a byte, so that lengths of lines are offsets.
    text = io.StringIO(data.decode("latin-1"), newline="").readlines()
    mark = delimiter if delimiter.isascii() else delimiter.encode().decode("latin-1")[:1]
    reader, whole = csv.reader(iter(text), delimiter=mark), 0
    before = 0
    try:
        for _ in reader:
            whole, before = before, reader.line_num
    except csv.Error:
        return 0
    return sum(len(line) for line in text[:whole])


def _last_line_end(data: bytes) -> int:
    end = data.rfind(b"\n") + 1
    # Lines that end in a lone carriage return; one at the very end may be half of a pair.
    return end or data.rfind(b"\r", 0, len(data) - 1) + 1


def _utf8(stream: IO[bytes], encoding: str, where: str, size: int) -> Iterator[bytes]:
    """The text in UTF-8, without a byte order mark; every byte of it is checked."""
    try:
        kind = codecs.lookup(encoding)
        decoder = kind.incrementaldecoder()
    except LookupError as error:
        raise unreadable(where, f"can't be decoded: {error}", "`encoding` is one Python knows") from error
    position, first = 0, True
    while True:
        data = stream.read(size)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            byte = error.object[error.start : error.start + 1].hex()
            raise unreadable(
                where,
                f"is not text in {encoding}: byte 0x{byte} at position {position - pending + error.start}",
                f"the pipeline reads it with `encoding: {encoding}`",
                f"deliver the file again in {encoding}, or set `source.encoding`, if all files are in another",
            ) from error
        position += len(data)
        piece = text.encode()
        if first and piece:
            piece, first = piece.removeprefix(b"\xef\xbb\xbf"), False
        if piece:
            yield piece
        if not data:
            return
