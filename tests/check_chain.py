#!/usr/bin/env python3
"""Checks a log's hash chain, from docs/format.md alone: check_chain.py [export.ndjson | file.db]"""
import hashlib, json, re, sqlite3, sys

LINE = re.compile(rb'\{"position":(0|[1-9][0-9]*),.*,"hash":"([0-9a-f]{64})"\}', re.S)


def from_database(path):
    rows = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    rows.text_factory = bytes
    for body, in rows.execute("SELECT body FROM log ORDER BY first_position"):
        if body[:1] != b"[" or body[-1:] != b"]":
            yield b"a block without brackets"
        *parts, last = body[1:-1].split(b"\n")
        yield from (part[:-1] if part[-1:] == b"," else b"no comma" for part in parts)
        yield last


def main(path):
    stream = open(path, "rb") if path else sys.stdin.buffer
    start = stream.peek(16)[:16]
    lines = from_database(path) if start == b"SQLite format 3\0" else (s.removesuffix(b"\n") for s in stream)
    expected, head, previous = 0, 0, bytes(32)
    try:
        for line in lines:
            match = LINE.fullmatch(line)
            previous = hashlib.sha256(previous + line[:-75]).digest()
            if not match or int(match[1]) != expected or match[2].decode() != previous.hex():
                raise ValueError
            head = expected + max(len(json.loads(line)["events"]), 1) - 1 if expected else 0
            expected = head + 1
    except (ValueError, KeyError):
        sys.exit(print(f"bad at position {expected}") or 1)
    print(f"position {head} hash {previous.hex()}")


main(sys.argv[1] if len(sys.argv) > 1 else None)
