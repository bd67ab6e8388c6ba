"""``anonymizer test-signer``: certificates that nobody trusts, to try out ``--sign`` with."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from anonymizer.errors import ConfigError, MediaError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

ORGANIZATION, SIGNER, ROOT = "For tests only", "Test signer", "Test root"
DAYS = 30
CERTIFICATES, KEY = "certificates.pem", "key.pem"


@click.command("test-signer")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def test_signer(folder: Path) -> None:
    """Make certificates and a key to try out --sign with. For tests only.

    Nobody trusts them, and nobody should: whoever runs this command gets some of the same names. They hold for 30
    days. For results that others see, get a certificate from an authority.
    """
    certificates, key = make_signer(folder)
    click.echo(f"for tests only: nobody trusts these, and they end in {DAYS} days")
    click.echo(f"anonymizer run ... --sign {certificates} {key}")


def make_signer(folder: Path, curve: ec.EllipticCurve | None = None) -> tuple[Path, Path]:
    """Write a chain of two certificates, and the key of the first, which only its owner can read; that of the root is
    forgotten.

    Args:
        folder: is made if there is none.
        curve: of the key; by default P-256, which ``--sign`` needs.

    Raises:
        ConfigError: one of the files exists.
        MediaError: they cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    root, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(curve or ec.SECP256R1())
    chain = (_certificate(SIGNER, own, root), _certificate(ROOT, root, root))
    key = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pems = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    return _new(folder / CERTIFICATES, pems, 0o644), _new(folder / KEY, key, 0o600)


def _new(path: Path, content: bytes, mode: int) -> Path:
    from anonymizer.media.files import cause_of

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
    except FileExistsError as error:
        raise ConfigError("exists, and is kept: name another folder", path=path) from error
    except OSError as error:
        raise MediaError(f"cannot be written: {cause_of(error)}", path=path) from error
    return path


def _name(name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    kinds = {NameOID.ORGANIZATION_NAME: ORGANIZATION, NameOID.COMMON_NAME: name}
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in kinds.items()])


def _certificate(name: str, own: ec.EllipticCurvePrivateKey, root: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """As C2PA 2 asks for it: whoever signs is no authority, and may sign documents."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

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
        .issuer_name(_name(ROOT))
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
    )
    if not is_root:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=True)
    return builder.sign(root, hashes.SHA256())
