"""Heads of records, signed: JSON Web Signatures (RFC 7515, ES256) that bear the certificates of who signed (``x5c``).

They prove that whoever signed held the key of the certificate, which anybody can make for any name; and no time.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from anonymizer.errors import ConfigError, MediaError
from anonymizer.media.files import cause_of

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from anonymizer.credentials import Signer

_ALGORITHM = "ES256"


class Seal:
    """Signs.

    Attributes:
        certificate: of the signer.

    Raises:
        ConfigError: the certificates or the key cannot be read, or do not belong together.
    """

    def __init__(self, signer: Signer) -> None:
        import jwt
        from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
        from cryptography.x509 import load_pem_x509_certificates

        try:
            chain = load_pem_x509_certificates(signer.certificates)
            self._key = load_pem_private_key(signer.key, None)
            ders = [certificate.public_bytes(Encoding.DER) for certificate in chain]
            self._header = {"typ": "JOSE", "x5c": [base64.b64encode(der).decode() for der in ders]}
            self.certificate = read_signature(self.sign("")).certificate
        except (jwt.PyJWTError, ValueError, TypeError, MediaError) as error:
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
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, IndexError) as error:
        raise MediaError(f"signature does not hold: {cause_of(error)}") from error


def read_certificate(path: Path) -> Certificate:
    """The first certificate of a PEM file.

    Raises:
        ConfigError: there is none.
    """
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(path.read_bytes())[0]
    except (OSError, ValueError) as error:
        raise ConfigError(f"holds no certificate (PEM): {cause_of(error)}", path=path) from error


def _name(certificate: Certificate) -> str:
    from cryptography.x509.oid import NameOID

    kinds = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
    found = [entry for kind in kinds for entry in certificate.subject.get_attributes_for_oid(kind)]
    name = ", ".join(str(entry.value) for entry in found) or "nobody"
    return "".join(letter if letter.isprintable() else "?" for letter in name)  # it may hold commands for a terminal
