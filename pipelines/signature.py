"""Heads of records, signed: JSON Web Signatures (RFC 7515, ES256) that bear the certificate of who signed (``x5c``).

They prove that whoever signed held the key of the certificate, which anybody can make for any name; and no time.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.files import cause_of
from pipelines.failures import printable

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from anonymizer.credentials import Signer

_ALGORITHM = "ES256"


class Seal:
    """Signs.

    Attributes:
        key: ``key_of`` the signer.

    Raises:
        ConfigError: the certificates or the key cannot be read, or do not belong together.
    """

    def __init__(self, signer: Signer) -> None:
        import jwt
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
        from cryptography.x509 import load_pem_x509_certificates

        try:
            certificate = load_pem_x509_certificates(signer.certificates)[0]
            self._key = load_pem_private_key(signer.key, None)
            der = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
            self._header = {"typ": "JOSE", "x5c": [der]}
            self.key = key_of(read_signature(self.sign("")).certificate)
        except (jwt.PyJWTError, ValueError, TypeError, UnsupportedAlgorithm, MediaError) as error:
            raise ConfigError(f"the certificates and the key of --sign do not sign: {cause_of(error)}") from error

    def sign(self, head: str) -> str:
        """A signature in compact form, of ``{"head": head}``."""
        import jwt

        text = json.dumps({"head": head}).encode()
        return jwt.PyJWS().encode(text, self._key, _ALGORITHM, headers=self._header)  # type: ignore[arg-type]


class Signature(NamedTuple):
    """What a signature that holds says.

    Attributes:
        head: what was signed.
        signer: the name in the certificate.
        certificate: of the signer.
    """

    head: str
    signer: str
    certificate: Certificate


def read_signature(text: str) -> Signature:
    """
    Raises:
        MediaError: it does not hold, or is none.
    """
    import jwt
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import load_der_x509_certificate

    try:
        header = jwt.PyJWS().get_unverified_header(text)
        certificate = load_der_x509_certificate(base64.b64decode(header["x5c"][0]))
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("its key is not of the curve P-256")
        said = json.loads(jwt.PyJWS().decode(text, key, [_ALGORITHM]))
        return Signature(str(said["head"]), _name(certificate), certificate)
    except (jwt.PyJWTError, ValueError, TypeError, LookupError, RecursionError, UnsupportedAlgorithm) as error:
        raise MediaError(f"signature does not hold: {cause_of(error)}") from error


def read_certificate(path: Path) -> Certificate:
    """The first certificate of a PEM file.

    Raises:
        ConfigError: there is none.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.x509 import load_pem_x509_certificates

    try:
        certificate = load_pem_x509_certificates(path.read_bytes())[0]
        key_of(certificate)
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"holds no certificate (PEM): {cause_of(error)}", path=path) from error
    return certificate


def key_of(certificate: Certificate) -> str:
    """What tells the key of a certificate from others, and stays when that is renewed: SHA-256 of the public key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()


def is_of(certificate: Certificate, known: Certificate) -> bool:
    """Whether a certificate has the key of the one that is known, or was issued by that."""
    from cryptography.exceptions import InvalidSignature

    if key_of(certificate) == key_of(known):
        return True
    try:
        certificate.verify_directly_issued_by(known)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def validity(certificate: Certificate, now: datetime) -> str:
    """``valid 2026-01-01 to 2027-01-01``, and whether that is not so ``now``."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    not_now = "; it has not begun yet" if now < start else "; it has expired" if now > end else ""
    return f"valid {start:%Y-%m-%d} to {end:%Y-%m-%d}{not_now}"


def _name(certificate: Certificate) -> str:
    from cryptography.x509.oid import NameOID

    kinds = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
    found = [entry for kind in kinds for entry in certificate.subject.get_attributes_for_oid(kind)]
    return printable(", ".join(str(entry.value) for entry in found) or "nobody")
