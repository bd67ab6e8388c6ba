"""Signed records: by whom, that others can check it, and that neither signature nor record can be another one."""

from __future__ import annotations

import base64
import hmac
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from fake_anonymizer import Run, files, make_photo
from test_journal import tamper

from anonymizer.credentials import Signer
from anonymizer.errors import ConfigError, MediaError
from pipelines.chain import chained, sealed
from pipelines.ledger import Ledger
from pipelines.signature import Seal, read_signature, validity
from pipelines.told import read_told
from pipelines.trial_signer import ROOT, SIGNER, _certificate, make_signer

LEDGER = Path("out.ledger")
CERTIFICATES, KEY = Path("signer/certificates.pem"), Path("signer/key.pem")
SIGN = ("--sign", CERTIFICATES, KEY)


@pytest.fixture
def job(run: Run) -> None:
    """Three photographs, anonymized, with a report and signed."""
    run("test-signer", "signer")
    for name in "abc":
        make_photo(Path(f"in/{name}.jpg"))
    run("run", "in", "-o", "out", "--report", "r.json", *SIGN)


def change(alter: Callable[[dict[str, Any]], object]) -> None:
    told = json.loads(Path("r.json").read_text())
    alter(told)
    Path("r.json").write_text(json.dumps(told))


def signatures() -> list[str]:
    """Of the report and of the ledger."""
    with closing(sqlite3.connect(LEDGER)) as base:
        (kept,) = base.execute("SELECT value FROM job WHERE key = 'signature'").fetchone()
    return [json.loads(Path("r.json").read_text())["signature"], kept]


def test_signed_records_tell_by_whom(run: Run, job: None) -> None:
    for record in ("r.json", LEDGER, "out"):
        assert "signed by Test signer, For tests only, as its certificate" in run("report", "verify", record).stdout
        assert f"as {CERTIFICATES} demands" in run("report", "verify", record, "--signer", CERTIFICATES).stdout


def test_others_can_check_it_by_the_standard_alone(run: Run, job: None) -> None:
    """RFC 7515, section 5.2, with nothing but an implementation of ECDSA; x5c of section 4.1.6."""
    (leaf, _) = x509.load_pem_x509_certificates(CERTIFICATES.read_bytes())
    for text in signatures():
        head, payload, signature = text.split(".")
        told = json.loads(base64.urlsafe_b64decode(head + "=="))
        assert told["alg"] == "ES256"
        chain = [x509.load_der_x509_certificate(base64.b64decode(der)) for der in told["x5c"]]
        assert chain == [leaf]
        raw = base64.urlsafe_b64decode(signature + "==")
        r, s = (int.from_bytes(part) for part in (raw[:32], raw[32:]))
        key = leaf.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(encode_dss_signature(r, s), f"{head}.{payload}".encode(), ec.ECDSA(SHA256()))
        assert set(json.loads(base64.urlsafe_b64decode(payload + "=="))) == {"head"}
    assert json.loads(base64.urlsafe_b64decode(signatures()[0].split(".")[1] + "==")) == {
        "head": json.loads(Path("r.json").read_text())["head"]
    }


def test_keys_are_not_in_what_is_written(run: Run, job: None) -> None:
    key = load_pem_private_key(KEY.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    number = key.private_numbers().private_value.to_bytes(32)
    forms = (number, number.hex().encode(), base64.b64encode(number)[:40], KEY.read_bytes().splitlines()[1])
    written = [Path(name).read_bytes() for name in (*files(), LEDGER) if Path(name) != KEY]
    assert not [form for form in forms for content in written if form in content]


def test_another_signer_is_not_the_one_that_is_demanded(run: Run, job: None) -> None:
    run("test-signer", "other")
    for record in ("r.json", "out"):
        refused = run("report", "verify", record, "--signer", "other/certificates.pem", code=1).stderr
        assert "signed by Test signer, For tests only, with neither the key of other" in refused
    assert "no certificate" in run("report", "verify", "out", "--signer", KEY, code=2).stderr
    run("run", "in/a.jpg", "-o", "b.jpg", "--report", "s.json")
    assert "is not signed" in run("report", "verify", "s.json", "--signer", CERTIFICATES, code=1).stderr
    assert "not signed: " in run("report", "verify", "s.json").stdout


def test_a_signature_is_of_one_record(run: Run, job: None) -> None:
    def forge(told: dict[str, Any]) -> None:
        lines = [{name: value for name, value in line.items() if name != "chain"} for line in told["inputs"][1:]]
        told["inputs"] = list(chained(lines))
        told |= sealed({name: value for name, value in told.items() if name not in ("head", "signature")})

    report, kept = signatures()
    change(forge)
    assert "is of another record" in run("report", "verify", "r.json", code=1).stderr
    tamper(f"UPDATE job SET value = '{report}' WHERE key = 'signature'")
    assert "is of another record" in run("report", "verify", "out", code=1).stderr
    assert report != kept


def test_a_signature_that_was_altered_does_not_hold(run: Run, job: None) -> None:
    head, payload, signature = signatures()[0].split(".")
    other = base64.urlsafe_b64encode(b'{"head": "0"}').decode().rstrip("=")
    nobody = base64.urlsafe_b64encode(b'{"alg": "none", "x5c": []}').decode().rstrip("=")
    for text in (f"{head}.{other}.{signature}", f"{nobody}.{payload}.", "nothing", 7, f"{head}.{payload}.AAAA"):
        change(lambda told, text=text: told.update(signature=text))  # type: ignore[misc]
        assert "its signature does not hold" in run("report", "verify", "r.json", code=1).stderr


def test_a_signature_that_was_taken_away_is_missed(run: Run, job: None) -> None:
    change(lambda told: told.pop("signature"))
    tamper("DELETE FROM job WHERE key = 'signature'")
    for record in ("r.json", "out"):
        assert "was signed, and the signature is gone" in run("report", "verify", record, code=1).stderr


def test_no_run_signs_what_was_cut(run: Run, job: None) -> None:
    """Even if the head was cut with it, which without a signature nobody would notice."""
    with closing(sqlite3.connect(LEDGER)) as base:
        (text,) = base.execute("SELECT entry FROM records WHERE number = 4").fetchone()
    last = json.loads(text)["item"]["target"]
    tamper(
        "DELETE FROM records WHERE number = 4",
        f"UPDATE items SET state = 'pending', record = NULL WHERE target = '{last}'",
        "UPDATE job SET value = (SELECT chain FROM records WHERE number = 3) WHERE key = 'head'",
    )
    assert "is of another record" in run("report", "verify", "out", code=1).stderr
    Path("out", last).unlink()
    assert "is about another one" in run("run", "in", "-o", "out", *SIGN, code=1).stderr
    with closing(sqlite3.connect(LEDGER)) as base, base:
        base.execute("DELETE FROM job WHERE key = 'signature'")
    assert "the signature is gone" in run("run", "in", "-o", "out", *SIGN, code=1).stderr


def test_no_run_signs_what_another_signed(run: Run, job: None) -> None:
    """Else whoever cuts a record could sign it himself, and have the next run sign it properly."""
    old = CERTIFICATES.rename("old.pem")
    Path("out/a.jpg").unlink()
    shutil.rmtree("signer")
    run("test-signer", "signer")
    refused = run("run", "in", "-o", "out", *SIGN, code=2).stderr
    assert "other settings (signing_key)" in " ".join(refused.split())
    run("run", "in", "-o", "out", "--force", *SIGN)
    run("report", "verify", "out", "--signer", CERTIFICATES)
    assert "neither the key" in run("report", "verify", "out", "--signer", old, code=1).stderr
    run("report", "verify", "out.ledger.1", "--signer", old)


def test_no_run_goes_on_with_what_somebody_signed_over(run: Run, job: None) -> None:
    run("test-signer", "other")
    seal = Seal(Signer.read("other/certificates.pem", "other/key.pem"))
    head = read_signature(signatures()[1]).head
    tamper(f"UPDATE job SET value = '{seal.sign(head)}' WHERE key = 'signature'")
    Path("out/a.jpg").unlink()
    refused = run("run", "in", "-o", "out", *SIGN, code=1).stderr
    assert "signed by Test signer, For tests only with another key: sign with that" in refused
    run("run", "in", "-o", "out", "--force", *SIGN)
    assert len(read_told(Path("out")).heads) == 4
    assert read_signature(read_told(Path("out.ledger.1")).signature).certificate != certificate(CERTIFICATES)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def renew(folder: Path) -> Path:
    """Another certificate of the same key, by another root, whose certificate is ``folder/root.pem``."""
    key, root = load_pem_private_key(KEY.read_bytes(), None), ec.generate_private_key(ec.SECP256R1())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    folder.mkdir()
    new = [_certificate(SIGNER, key, root), _certificate(ROOT, root, root)]
    (folder / "root.pem").write_bytes(new[1].public_bytes(Encoding.PEM))
    (folder / "both.pem").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in new))
    return folder / "both.pem"


def test_certificates_may_be_renewed(run: Run, job: None) -> None:
    """And files may be named in another way."""
    renewed = renew(Path("new"))
    before = len(read_told(Path("out")).heads)
    Path("out/a.jpg").unlink()
    assert "1 written" in run("run", "in", "-o", "out", "--sign", renewed.resolve(), KEY.resolve()).stdout
    told = read_told(Path("out"))
    assert read_signature(told.signature).certificate == certificate(renewed) != certificate(CERTIFICATES)
    assert len(told.heads) == before + 3
    for known in (renewed, CERTIFICATES, "new/root.pem"):
        assert "demands" in run("report", "verify", "out", "--signer", known).stdout


def test_a_certificate_of_who_issued_it_is_enough(run: Run, job: None) -> None:
    _, root = x509.load_pem_x509_certificates(CERTIFICATES.read_bytes())
    Path("root.pem").write_bytes(root.public_bytes(Encoding.PEM))
    run("report", "verify", "r.json", "--signer", "root.pem")
    renew(Path("new"))  # of the same name
    assert "neither the key" in run("report", "verify", "r.json", "--signer", "new/root.pem", code=1).stderr


def test_how_long_certificates_are_valid_is_told(run: Run, job: None) -> None:
    leaf = certificate(CERTIFICATES)
    start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    days = f"valid {start:%Y-%m-%d} to {end:%Y-%m-%d}"
    assert run("report", "verify", "out").stdout.endswith(f"; {days}\n")
    assert validity(leaf, start - timedelta(seconds=1)) == f"{days}; it has not begun yet"
    assert validity(leaf, end + timedelta(seconds=1)) == f"{days}; it has expired"


def test_keys_that_others_may_read_are_refused(run: Run, job: None) -> None:
    KEY.chmod(0o640)
    Path("out/a.jpg").unlink()
    assert "key.pem: others may read or change" in run("run", "in", "-o", "out", *SIGN, code=2).stderr
    assert not Path("out/a.jpg").exists()


def test_settings_tell_the_key_and_no_paths(run: Run, job: None) -> None:
    told = json.loads(Path("r.json").read_text())
    key = certificate(CERTIFICATES).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert told["settings"]["output"]["signing_key"] == sha256(key).hexdigest()
    for path in (Path("r.json"), LEDGER):
        assert b".pem" not in path.read_bytes()
    assert {"c2pa-python", "cryptography", "pyjwt", "pillow", "numpy"} < told["versions"].keys()


def test_what_is_signed_may_be_made_anew_unsigned_and_back(run: Run, job: None) -> None:
    run("run", "in", "-o", "out", "--force")
    assert "not signed" in run("report", "verify", "out").stdout
    run("run", "in", "-o", "out", "--force", *SIGN)
    assert "signed by" in run("report", "verify", "out").stdout


def test_no_key_is_read_unless_that_is_asked_for(run: Run, job: None) -> None:
    KEY.unlink()
    run("report", "verify", "out", "--signer", CERTIFICATES)
    run("run", "in/a.jpg", "-o", "b.jpg")
    assert "Error" in run("run", "in/a.jpg", "-o", "c.jpg", *SIGN, code=2).stderr


def test_who_cannot_sign(tmp_path: Path) -> None:
    one, other = make_signer(tmp_path / "one"), make_signer(tmp_path / "other")
    wrong = make_signer(tmp_path / "wrong", ec.SECP384R1())
    turned = Signer(one[1].read_bytes(), one[0].read_bytes())
    for signer in (Signer.read(one[0], other[1]), Signer(b"", b""), turned, Signer.read(*wrong)):
        with pytest.raises(ConfigError, match="--sign"):
            Seal(signer)


def test_other_algorithms_are_refused(tmp_path: Path) -> None:
    """A code of authentication, with the public certificate for a secret, is no signature (RFC 8725, section 2.1)."""
    (leaf, _) = x509.load_pem_x509_certificates(make_signer(tmp_path)[0].read_bytes())
    der = leaf.public_bytes(Encoding.DER)
    header = {"alg": "HS256", "x5c": [base64.b64encode(der).decode()]}
    parts = [json.dumps(header).encode(), b'{"head": ""}']
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    code = base64.urlsafe_b64encode(hmac.digest(der, text, "sha256")).rstrip(b"=")
    with pytest.raises(MediaError, match="does not hold"):
        read_signature(f"{text.decode()}.{code.decode()}")


def test_nothing_is_left_of_a_change_that_fails(run: Run, job: None) -> None:
    def fail(ledger: Ledger) -> None:
        with ledger._changing():
            ledger._journal.add("again", {"target": "a.jpg", "why": "for once"})
            raise ZeroDivisionError

    told = run("report", "verify", "out").stdout
    with sqlite3.connect(LEDGER) as base:
        (settings,) = base.execute("SELECT value FROM job WHERE key = 'settings'").fetchone()
    base.close()
    seal = Seal(Signer.read(CERTIFICATES, KEY))
    with closing(Ledger(Path("out"), json.loads(settings), seal=seal)) as ledger, pytest.raises(ZeroDivisionError):
        fail(ledger)
    assert run("report", "verify", "out").stdout == told


# The command


def test_certificates_for_tests_say_so(run: Run) -> None:
    told = run("test-signer", "deep/signer").stdout
    assert "for tests only" in told
    assert "--sign deep/signer/certificates.pem deep/signer/key.pem" in told
    assert files() == ["deep/signer/certificates.pem", "deep/signer/key.pem"]
    assert Path("deep/signer/key.pem").stat().st_mode & 0o777 == 0o600
    for certificate in x509.load_pem_x509_certificates(Path("deep/signer/certificates.pem").read_bytes()):
        assert "For tests only" in certificate.subject.rfc4514_string()
        assert "Test" in certificate.subject.rfc4514_string()


@pytest.mark.parametrize("there", ["certificates.pem", "key.pem"])
def test_keys_are_never_replaced(run: Run, there: str) -> None:
    Path(there).write_text("mine")
    assert f"{there}: exists, and is kept" in run("test-signer", ".", code=2).stderr
    assert Path(there).read_text() == "mine"
