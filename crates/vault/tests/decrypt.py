"""Decrypts a vault from its documented layout (docs/VAULT.md) with independent implementations.

Needs: pip install pyhpke pynacl blake3 zstandard
Usage: decrypt.py VAULT-FOLDER KEEPER-SECRET-HEX   (or: ... --grant GRANT-HEX GRANTEE-SECRET-HEX)
Prints one line an item: its source, its bytes, and whether text and leaf match. Exits 1 when any does not.
"""

import json
import pathlib
import struct
import sys

from blake3 import blake3
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as xchacha
from pyhpke import AEADId, CipherSuite, KDFId, KEMId
import zstandard

SUITE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        assert self.at <= len(self.data), "truncated"
        return self.data[self.at - count : self.at]

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return struct.unpack("<I", self.take(4))[0]

    def u64(self):
        return struct.unpack("<Q", self.take(8))[0]

    def bytes(self):
        return self.take(self.u32())

    def sealed(self):
        return self.take(32), self.take(32), self.bytes()

    def wrapped(self):
        return self.take(48) if self.u8() else None


def domain(context, data):
    return blake3(data, derive_key_context=context).digest()


def nonce(count, purpose, last):
    return struct.pack("<QBB", count, purpose, last) + bytes(14)


def unseal(secret, sealed, info, aad):
    _, encapsulated, ciphertext = sealed
    key = SUITE.kem.deserialize_private_key(secret)
    return SUITE.create_recipient_context(encapsulated, key, info=info).open(ciphertext, aad=aad)


def frame(data, limit):
    if data[0] == 0:
        return data[1:]
    assert data[0] == 1
    return zstandard.ZstdDecompressor().decompress(data[1:], max_output_size=limit)


def main():
    root, arguments = pathlib.Path(sys.argv[1]), sys.argv[2:]
    records = [json.loads(path.read_bytes()) for path in sorted((root / "log").iterdir())]
    previous = bytes(32)
    for path, record in zip(sorted((root / "log").iterdir()), records):
        assert bytes.fromhex(record["previous"][2:]) == previous, "the log is not a chain"
        previous = domain("openledger log link v1", path.read_bytes())
    granted = {}
    if arguments[0] == "--grant":
        grant, secret = bytes.fromhex(arguments[1].removeprefix("0x")), bytes.fromhex(arguments[2])
        r = Reader((root / "grants" / grant.hex()).read_bytes())
        assert r.bytes() == b"openledger vault grant v1"
        key = unseal(secret, r.sealed(), b"openledger vault grant v1", grant)
        for place in range(r.u32()):
            contribution, index, wrapped = r.take(32), r.u64(), r.wrapped()
            if wrapped:
                granted[contribution, index] = xchacha(wrapped, grant, nonce(place, 2, 0), key)
    else:
        secret = bytes.fromhex(arguments[0])
    wrong = 0
    for event in (record["event"] for record in records):
        if event["kind"] != "contributed":
            continue
        contribution = bytes.fromhex(event["id"][2:])
        fields = [bytes.fromhex(event[name][2:]) for name in ("root", "salt", "owner")]
        assert domain("openledger contribution commitment v1", b"".join(fields)) == contribution
        r = Reader((root / "keys" / contribution.hex()).read_bytes())
        assert r.bytes() == b"openledger vault keys v1"
        assert r.u8() == 1, "this script opens 1 of n"
        shares = [r.sealed() for _ in range(r.u32())]
        wrapped = [r.wrapped() for _ in range(r.u32())]
        if not granted:
            share = unseal(secret, shares[0], b"openledger vault keeper share v1", contribution)
            key = share[1:]  # With one share needed, the share is the key.
        for segment in event["segments"]:
            pack = (root / "packs" / segment["pack"][2:]).read_bytes()
            assert blake3(pack).hexdigest() == segment["pack"][2:]
            r = Reader((root / "rows" / segment["rows"][2:]).read_bytes())
            assert r.bytes() == b"openledger vault rows v1"
            for index in range(segment["first"], segment["first"] + r.u32()):
                leaf = r.take(32)
                if r.u8() == 0:
                    continue
                offset, lengths = r.u64(), [r.u32() for _ in range(r.u32())]
                meta, _signature = r.bytes(), r.bytes()
                if granted:
                    item_key = granted.get((contribution, index))
                    if item_key is None:
                        continue
                else:
                    item_key = xchacha(wrapped[index], contribution, nonce(index, 2, 0), key)
                facts = json.loads(frame(xchacha(meta, b"", nonce(0, 1, 1), item_key), 1 << 20))
                text = b""
                for i, length in enumerate(lengths):
                    last = int(i + 1 == len(lengths))
                    chunk = xchacha(pack[offset : offset + length], b"", nonce(i, 0, last), item_key)
                    text += frame(chunk, 65536)
                    offset += length
                licence = facts["licence"].encode()
                encoded = (
                    bytes.fromhex(facts["salt"][2:]) + bytes.fromhex(facts["item"][2:]) + bytes.fromhex(facts["owner"][2:])
                    + struct.pack("<I", len(licence)) + licence + struct.pack("<QQ", facts["bytes"], facts["prompt_bytes"])
                )
                good = domain("openledger item v1", text).hex() == facts["item"][2:]
                good &= domain("openledger item leaf v1", encoded) == leaf
                wrong += not good
                print(facts["source"], len(text), "matches" if good else "DOES NOT MATCH")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
