"""What a file says about itself, in the two forms that formats have for it: XMP (ISO 16684-1) and tags of Matroska."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr


@dataclass(frozen=True)
class Statement:
    """Nothing but what made the file: no time, no place, no person.

    Attributes:
        tool: name and version of the program; empty if that is not to be said.
        source_type: how the pictures came to be, a URI of IPTC's vocabulary; empty if that is not to be said.
        seal: adds what proves it to a file that is whole, of a format by Pillow's or FFmpeg's name.
    """

    tool: str = ""
    source_type: str = ""
    seal: Callable[[Path, str], None] | None = None

    def xmp(self) -> bytes:
        """An XMP packet of these properties; nothing if there are none."""
        said = {"xmp:CreatorTool": self.tool, "Iptc4xmpExt:DigitalSourceType": self.source_type}
        properties = "".join(f"\n {name}={quoteattr(value)}" for name, value in said.items() if value)
        return _PACKET.format(properties).encode() if properties else b""

    def tags(self) -> dict[str, str]:
        """Names and values of tags, such as those of Matroska, which has no place for XMP."""
        said = {"CREATOR_TOOL": self.tool, "DIGITAL_SOURCE_TYPE": self.source_type}
        return {name: value for name, value in said.items() if value}


SILENT = Statement()

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"{}/></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""
