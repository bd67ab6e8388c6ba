"""What is kept of people, sealed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.envelope import Envelope, Plain
from pipelines.sealed import NONCE, Sealed

KEY = bytes(range(32))


@pytest.mark.parametrize("envelope", [Plain(), Sealed(KEY)], ids=["plain", "sealed"])
@given(data=st.binary(max_size=200))
def test_what_was_sealed_comes_out(envelope: Envelope, data: bytes) -> None:
    assert envelope.unseal(envelope.seal(data, b"1"), b"1") == data


@given(data=st.binary(max_size=50), place=st.integers(0, 1 << 16), bit=st.integers(0, 7))
def test_what_was_altered_does_not(data: bytes, place: int, bit: int) -> None:
    sealed = bytearray(Sealed(KEY).seal(data, b""))
    sealed[place % len(sealed)] ^= 1 << bit
    with pytest.raises(ValueError, match="altered"):
        Sealed(KEY).unseal(bytes(sealed), b"")


@pytest.mark.parametrize(("key", "about"), [(bytes(32), b"1"), (KEY, b"2"), (KEY, b"")])
def test_nor_for_another_key_or_about_something_else(key: bytes, about: bytes) -> None:
    with pytest.raises(ValueError, match="another key"):
        Sealed(key).unseal(Sealed(KEY).seal(b"who is who", b"1"), about)


@pytest.mark.parametrize("length", [0, 1, NONCE, NONCE + 15])
def test_nor_what_is_too_short(length: int) -> None:
    with pytest.raises(ValueError, match=r"altered|[Nn]once"):
        Sealed(KEY).unseal(bytes(length), b"")


def test_the_same_is_sealed_differently_each_time() -> None:
    assert Sealed(KEY).seal(b"ann", b"") != Sealed(KEY).seal(b"ann", b"")
    assert b"ann" not in Sealed(KEY).seal(b"ann", b"")
