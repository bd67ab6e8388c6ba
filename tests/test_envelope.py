"""What is kept of people, sealed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.envelope import Envelope, Plain
from pipelines.sealed import NONCE, Sealed

KEY = bytes(range(32))


@pytest.mark.parametrize("envelope", [Plain(), Sealed(KEY), Sealed(KEY, b"about")], ids=["plain", "sealed", "about"])
@given(data=st.binary(max_size=200))
def test_what_was_sealed_comes_out(envelope: Envelope, data: bytes) -> None:
    assert envelope.unseal(envelope.seal(data)) == data


@given(data=st.binary(max_size=50), place=st.integers(0, 1 << 16), bit=st.integers(0, 7))
def test_what_was_altered_does_not(data: bytes, place: int, bit: int) -> None:
    sealed = bytearray(Sealed(KEY).seal(data))
    sealed[place % len(sealed)] ^= 1 << bit
    with pytest.raises(ValueError, match="altered"):
        Sealed(KEY).unseal(bytes(sealed))


@pytest.mark.parametrize("envelope", [Sealed(bytes(32)), Sealed(KEY, b"else")])
def test_nor_for_another_key_or_about_something_else(envelope: Envelope) -> None:
    with pytest.raises(ValueError, match="another key"):
        envelope.unseal(Sealed(KEY, b"about").seal(b"who is who"))


@pytest.mark.parametrize("length", [0, 1, NONCE, NONCE + 15])
def test_nor_what_is_too_short(length: int) -> None:
    with pytest.raises(ValueError, match=r"altered|[Nn]once"):
        Sealed(KEY).unseal(bytes(length))


def test_the_same_is_sealed_differently_each_time() -> None:
    assert Sealed(KEY).seal(b"ann") != Sealed(KEY).seal(b"ann")
    assert b"ann" not in Sealed(KEY).seal(b"ann")
