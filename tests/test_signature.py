"""Signed records: by whom, that others can check it, and that neither signature nor record can be another one."""

from __future__ import annotations

import base64
import hmac
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from fake_anonymizer import Run, files, invoke, make_photo
from test_journal import tamper

from anonymizer.credentials import Signer
from anonymizer.errors import ConfigError, MediaError
from pipelines.chain import chained, sealed
from pipelines.ledger import Ledger
from pipelines.signature import Seal, read_signature
from pipelines.trial_signer import make_signer

LEDGER = Path("out.ledger")
CERTIFICATES, KEY = Path("signer/certificates.pem"), Path("signer/key.pem")
SIGN = ("--sign", CERTIFICATES, KEY)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return invoke


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
    (leaf, root) = x509.load_pem_x509_certificates(CERTIFICATES.read_bytes())
    for text in signatures():
        head, payload, signature = text.split(".")
        told = json.loads(base64.urlsafe_b64decode(head + "=="))
        assert told["alg"] == "ES256"
        chain = [x509.load_der_x509_certificate(base64.b64decode(der)) for der in told["x5c"]]
        assert chain == [leaf, root]
        leaf.verify_directly_issued_by(root)
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
        assert "signed by Test signer, For tests only, with another certificate than that of other" in refused
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
        f"UPDATE items SET state = 'pending', result = NULL WHERE target = '{last}'",
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
    Path("out/a.jpg").unlink()
    shutil.rmtree("signer")
    run("test-signer", "signer")
    refused = run("run", "in", "-o", "out", *SIGN, code=1).stderr
    assert "its record was signed by Test signer, For tests only, with another certificate" in refused
    run("run", "in", "-o", "out", "--force", *SIGN)
    run("report", "verify", "out", "--signer", CERTIFICATES)


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
    for signer in (Signer.read(one[0], other[1]), Signer(b"", b""), Signer.read(one[1], one[0]), Signer.read(*wrong)):
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
