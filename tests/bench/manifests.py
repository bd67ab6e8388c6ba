"""Content credentials as the specification of C2PA 2 has them, read and checked without any library of C2PA.

Only ``cbor2`` and ``cryptography`` are used. What is checked: the COSE signature (RFC 9052) of the claim, by the first
certificate; that each is signed by the next one; the hashes of the assertions in the claim; and the hash that binds all
to the file, of its bytes (``c2pa.hash.data``) or of its boxes (``c2pa.hash.bmff.v3``).
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cbor2
import PIL.Image
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""Of the box in which ISO files have credentials."""

TIFF_TAG = 52545
ALGORITHM, CHAIN, ES256 = 1, 33, -7  # of COSE


class Verdict(NamedTuple):
    """Of one file: who signed, whether signature, assertions and file are those that were signed, and which of the
    assertions are the signer's own ("created"), so that the others were only gathered from somewhere."""

    signer: str
    signature: bool
    assertions: bool
    file: bool
    created: frozenset[str]


def verify(path: Path) -> Verdict | None:
    """Check the credentials of a file; None if it has none."""
    data = path.read_bytes()
    if not (store := _store(path, data)):
        return None
    (manifests,) = _boxes(store)
    manifest = [content for kind, content in _boxes(manifests[1]) if kind == b"jumb"][-1]
    parts = _labelled(manifest)
    claim = next(_content(part) for label, part in parts.items() if label.startswith("c2pa.claim"))
    assertions = _labelled(parts["c2pa.assertions"])
    signer, holds = _signed(claim, _content(parts["c2pa.signature"]))
    created = cbor2.loads(claim)["created_assertions"]
    named = created + cbor2.loads(claim).get("gathered_assertions", [])
    same = all(hashlib.sha256(assertions[entry["url"].split("/")[-1]]).digest() == entry["hash"] for entry in named)
    every = _labels(named) == set(assertions)
    label = next(label for label in assertions if label.startswith("c2pa.hash."))
    binding = cbor2.loads(_content(assertions[label]))
    hashed = _without_ranges(data, binding) if label == "c2pa.hash.data" else _without_boxes(data, binding)
    return Verdict(signer, holds, same and every, hashlib.sha256(hashed).digest() == binding["hash"], _labels(created))


def unpacked(path: Path) -> dict[str, bytes]:
    """The content of each box of the credentials of a file that holds no other boxes, by the labels above it.

    Raises:
        AssertionError: the file has no credentials.
    """
    store = _store(path, path.read_bytes())
    assert store, "no credentials"
    return dict(_leaves(store, ""))


def _leaves(data: bytes, above: str) -> Iterator[tuple[str, bytes]]:
    for number, (kind, content) in enumerate(_boxes(data)):
        if kind == b"jumb":
            yield from _leaves(content, f"{above}/{_label(content)}")
        else:
            yield f"{above}/{number} {kind.decode('latin-1')}", content


def _labels(named: list[dict[str, Any]]) -> frozenset[str]:
    return frozenset(entry["url"].split("/")[-1] for entry in named)


def _signed(claim: bytes, cose: bytes) -> tuple[str, bool]:
    """Who signed, and whether that holds."""
    protected, others, payload, signature = cbor2.loads(cose).value
    header = cbor2.loads(protected)
    ders = header.get(CHAIN) or others["x5chain"]
    chain = [x509.load_der_x509_certificate(der) for der in (ders if isinstance(ders, list) else [ders])]
    for one, above in itertools.pairwise(chain):
        one.verify_directly_issued_by(above)
    key = chain[0].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert header[ALGORITHM] == ES256
    assert payload is None, "the claim is signed where it lies"
    structure = cbor2.dumps(["Signature1", protected, b"", claim])
    r, s = (int.from_bytes(part) for part in (signature[:32], signature[32:]))
    (name,) = chain[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    try:
        key.verify(encode_dss_signature(r, s), structure, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return str(name.value), False
    return str(name.value), True


# Where the store is


def _store(path: Path, data: bytes) -> bytes:
    if data.startswith(b"\xff\xd8"):
        return _of_jpeg(data)
    if data.startswith(b"\x89PNG"):
        return b"".join(content for kind, content in _chunks(data, 8, ">I4s", "PNG") if kind == b"caBX")
    if data.startswith(b"RIFF"):
        return b"".join(content for kind, content in _chunks(data, 12, "<4sI", "RIFF") if kind == b"C2PA")
    if data[:4] in (b"II*\0", b"MM\0*"):
        with PIL.Image.open(path) as picture:
            return bytes(picture.tag_v2.get(TIFF_TAG, b""))  # type: ignore[attr-defined]
    if data.startswith(b"GIF8"):
        return _of_gif(data)
    if data[4:8] == b"ftyp":
        found = [content for kind, content in _boxes(data) if kind == b"uuid" and content.startswith(UUID)]
        # version and flags, the purpose with its end, an offset
        return found[0][16 + 4 + len(b"manifest\0") + 8 :] if found else b""
    return b""


def _of_jpeg(data: bytes) -> bytes:
    """APP11, as ISO 19566-5 has it: the header of the box is in each of the segments that it is cut into."""
    at, parts = 2, []
    while data[at] == 0xFF and data[at + 1] != 0xDA:
        (size,) = struct.unpack_from(">H", data, at + 2)
        if data[at + 1] == 0xEB and data[at + 4 : at + 6] == b"JP":
            parts.append(data[at + 12 : at + 2 + size])
        at += 2 + size
    return b"".join(part if number == 0 else part[8:] for number, part in enumerate(parts))


def _of_gif(data: bytes) -> bytes:
    at = data.find(b"\x21\xff\x0bC2PA_GIF\x01\x00\x00")
    at, parts = at + 14, []
    while at > 13 and data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts)


def _chunks(data: bytes, at: int, header: str, family: str) -> Iterator[tuple[bytes, bytes]]:
    while at < len(data):
        first, second = struct.unpack_from(header, data, at)
        kind, size = (second, first) if family == "PNG" else (first, second)
        yield kind, data[at + 8 : at + 8 + size]
        at += 8 + size + (4 if family == "PNG" else size % 2)


# Boxes


def _places(data: bytes) -> Iterator[tuple[bytes, int, int, int]]:
    """Kind, start, start of the content, and end of each box."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        content = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        end = at + size if size else len(data)
        yield kind, at, content, end
        at = end


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    return ((kind, data[content:end]) for kind, _, content, end in _places(data))


def _labelled(superbox: bytes) -> dict[str, bytes]:
    """The superboxes in one, by their labels: of each, what is hashed."""
    return {_label(content): content for kind, content in _boxes(superbox) if kind == b"jumb"}


def _label(superbox: bytes) -> str:
    (_, description), *_ = _boxes(superbox)
    return description[17:].split(b"\0")[0].decode()  # behind the type and the toggles


def _content(superbox: bytes) -> bytes:
    (_, _), (kind, content), *_ = _boxes(superbox)
    assert kind == b"cbor"
    return content


# What is hashed


def _without_ranges(data: bytes, binding: dict[str, Any]) -> bytes:
    at, parts = 0, []
    for gap in sorted(binding["exclusions"], key=lambda gap: gap["start"]):
        parts.append(data[at : gap["start"]])
        at = gap["start"] + gap["length"]
    return b"".join([*parts, data[at:]])


def _without_boxes(data: bytes, binding: dict[str, Any]) -> bytes:
    """Before each box that is hashed its place in the file, in eight bytes."""
    assert "merkle" not in binding
    parts = []
    for kind, start, _, end in _places(data):
        gaps = [gap for gap in binding["exclusions"] if gap["xpath"] == f"/{kind.decode('latin-1')}"]
        if not any(_is_meant(data[start:end], gap) for gap in gaps):
            parts += [struct.pack(">Q", start), data[start:end]]
    return b"".join(parts)


def _is_meant(box: bytes, gap: dict[str, Any]) -> bool:
    known = all(box[part["offset"] :].startswith(part["value"]) for part in gap.get("data") or ())
    assert not gap.get("subset"), "parts of boxes are not left out here"
    return known
