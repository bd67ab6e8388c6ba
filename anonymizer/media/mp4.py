"""XMP in MP4 and MOV (ISO 14496-12, ISO 16684-3): a box behind all others, so that nothing moves that has an offset."""

from __future__ import annotations

import struct
from pathlib import Path

XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""The type of the box."""


def append_xmp(path: Path, packet: bytes) -> None:
    """Add an XMP packet to a file that is whole."""
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 8 + len(XMP) + len(packet), b"uuid") + XMP + packet)
