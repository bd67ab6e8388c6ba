"""A chain of certificates and a key that nobody trusts: for tests only, as anybody can make one that bears any name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey


def make_signer(folder: Path, curve: ec.EllipticCurve | None = None) -> tuple[Path, Path]:
    """Files with a chain of two certificates and with the key of the first."""
    root, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(curve or ec.SECP256R1())
    chain = (_certificate("Signer for tests", own, root), _certificate("Root for tests", root, root))
    certificates, key = folder / "chain.pem", folder / "key.pem"
    certificates.write_bytes(b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain))
    key.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificates, key


def _name(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests only"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def _certificate(name: str, own: Key, root: Key) -> x509.Certificate:
    """As C2PA 2 asks for it: whoever signs is no authority, and may sign documents."""
    is_root, now = own is root, datetime.now(UTC)
    usage = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    usage |= {"key_cert_sign": is_root, "crl_sign": is_root, "digital_signature": not is_root}
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("Root for tests"))
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
    )
    if not is_root:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=True)
    return builder.sign(root, hashes.SHA256())
