"""Content credentials (C2PA 2): in a file, a signed list of what was done to it.

Nothing of the original is in them: it is only mentioned, without a name, a picture or a hash. No network is used, and
so no time is attested. Whoever reads them learns who signed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import PIL.Image

from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.files import cause_of, read_private, replacing
from anonymizer.media.statement import Statement
from anonymizer.provenance import PROCESSED, TOOL, in_words

TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "TIFF": "image/tiff",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "HEIF": "image/heic",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
}
"""Formats that hold credentials, by Pillow's and FFmpeg's names. Matroska, WebM, MPEG-TS and BMP are not among them."""

MOST = 1 << 16
"""Bytes of a private key, at most."""

_SETTINGS = {
    "builder": {
        "thumbnail": {"enabled": False},  # it would show the original
        # Else they are only gathered assertions, which C2PA does not take for what the signer says.
        "created_assertion_labels": ["c2pa.actions", "c2pa.ingredient"],
    },
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
_ORIGINAL = {"title": "original", "label": "original", "instance_id": "original", "relationship": "parentOf"}


@dataclass(frozen=True)
class Signer:
    """Who signs.

    Attributes:
        certificates: PEM: that of the signer, and those up to the one that is trusted.
        key: PEM: the private key, of the curve P-256 (ES256).
    """

    certificates: bytes
    key: bytes = field(repr=False)

    @classmethod
    def read(cls, certificates: str | Path, key: str | Path) -> Signer:
        """
        Raises:
            ConfigError: one of the files cannot be read, or others may read that of the key.
        """
        try:
            return cls(Path(certificates).read_bytes(), read_private(Path(key), MOST))
        except OSError as error:
            raise ConfigError(f"cannot be read: {cause_of(error)}", path=error.filename) from error

    def check(self) -> None:
        """Sign a small picture.

        Raises:
            ConfigError: that fails, or the library is missing.
        """
        picture = BytesIO()
        PIL.Image.new("RGB", (8, 8)).save(picture, "JPEG")
        library = _library()
        try:
            _signed(self, "JPEG", picture, BytesIO(), _manifest(PROCESSED, {}, 0, ""))
        except (library.C2paError, ValueError) as error:
            cause = f"the certificates and the key of --sign do not sign (they must be of ES256): {cause_of(error)}"
            raise ConfigError(cause) from error


def sign(
    path: Path, kind: str, *, signer: Signer, says: Statement, faces: Mapping[str, int], frames: int, method: str
) -> None:
    """Add credentials to a file that is whole, in its place.

    Args:
        kind: a key of ``TYPES``.
        says: what the file says about itself.
        faces: how many had which outcome, summed over the frames.
        frames: 1 of a photograph.
        method: with which faces are replaced.

    Raises:
        MediaError: it cannot be signed; the file is as it was.
    """
    library = _library()
    with replacing(path) as signed, path.open("rb") as source, signed.open("w+b") as target:
        try:
            _signed(signer, kind, source, target, _manifest(says, faces, frames, method))
        except library.C2paError as error:
            raise MediaError(f"cannot be signed: {cause_of(error)}", path=path) from error


def _signed(signer: Signer, kind: str, source: Any, target: Any, manifest: dict[str, Any]) -> None:
    library = _library()
    source.seek(0)
    info = library.C2paSignerInfo(library.C2paSigningAlg.ES256, signer.certificates, signer.key, None)
    with (
        library.Context.from_dict(_SETTINGS) as context,
        library.Signer.from_info(info) as who,
        library.Builder(json.dumps(manifest), context=context) as builder,
    ):
        builder.sign(who, TYPES[kind], source, target)


def _manifest(says: Statement, faces: Mapping[str, int], frames: int, method: str) -> dict[str, Any]:
    name, _, version = TOOL.partition(" ")
    agent = {"name": name, "version": version}
    parameters = {f"{name}.method": method, f"{name}.faces": dict(faces), f"{name}.frames": frames}
    done = {"action": "c2pa.edited" if faces else "c2pa.transcoded", "softwareAgent": agent, "parameters": parameters}
    if says.source_type:
        done["digitalSourceType"] = says.source_type
    if faces:
        done["description"] = in_words(faces)
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [_ORIGINAL["label"]]}}
    actions = {"label": "c2pa.actions.v2", "data": {"actions": [opened, done]}}
    return {"claim_generator_info": [agent], "ingredients": [_ORIGINAL], "assertions": [actions]}


class Credentials(NamedTuple):
    """What a file's credentials say.

    Attributes:
        holds: whether the file is what was signed, whoever that did.
        trusted: whether a list of trust of this machine names who signed it; else it may have been anybody.
        signer: the name in the certificate, which anybody can write into one of their own.
        actions: what was done, as C2PA has it.
        problems: why they do not hold; none if they do.
    """

    holds: bool
    trusted: bool
    signer: str
    actions: list[dict[str, Any]]
    problems: list[str]


def read_credentials(path: Path, kind: str) -> Credentials | None:
    """Of a file of a ``kind`` of ``TYPES``; None if it has none.

    Raises:
        ConfigError: the library is missing.
        MediaError: they cannot be read.
    """
    library = _library()
    try:
        with library.Context.from_dict(_SETTINGS) as context, path.open("rb") as file:
            reader = library.Reader.try_create(TYPES[kind], file, context=context)
            if reader is None:
                return None
            with reader:
                state, told = reader.get_validation_state(), json.loads(reader.json())
    except library.C2paError as error:
        raise MediaError(f"its credentials cannot be read: {cause_of(error)}", path=path) from error
    manifest = told["manifests"][told["active_manifest"]]
    found = [assertion for assertion in manifest["assertions"] if assertion["label"].startswith("c2pa.actions")]
    who = manifest.get("signature_info", {})
    failures = told.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    holds = state in ("Valid", "Trusted")
    return Credentials(
        holds=holds,
        trusted=state == "Trusted",
        signer=", ".join(filter(None, (who.get("common_name"), who.get("issuer")))),
        actions=[action for assertion in found for action in assertion["data"]["actions"]],
        problems=[] if holds else [failure["code"] for failure in failures],
    )


def _library() -> Any:
    """
    Raises:
        ConfigError: it is not installed.
    """
    try:
        import c2pa
    except ImportError as error:
        raise ConfigError("content credentials need: pip install 'anonymizer[c2pa]'") from error
    return c2pa
