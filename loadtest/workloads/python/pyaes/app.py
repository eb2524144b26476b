"""Encrypts and decrypts with AES-128 in Python (FunctionBench pyaes, vSwarm aes). The cipher is here, because the package
pyaes has no wheel. Check: the example of FIPS 197, and the text comes back."""

import hashlib
import random
import aes
import workload

# FIPS 197, appendix C.1.
KEY = bytes(range(16))
PLAIN = 0x00112233445566778899AABBCCDDEEFF
CIPHER = 0x69C4E0D86A7B0430D8CDB78070B4C55A


def work(size, rounds, seed):
    workload.check(aes.encrypt_block(aes.expand(KEY), PLAIN) == CIPHER, "the example of FIPS 197 comes out wrong")
    draw = random.Random(seed)
    text = draw.randbytes(size)
    packed = b""
    for _ in range(rounds):
        key, counter = draw.randbytes(16), draw.getrandbits(128)
        packed = aes.counter_mode(key, counter, text)
        workload.check(aes.counter_mode(key, counter, packed) == text, "the text did not come back")
    return {"bytes": size, "sha256": hashlib.sha256(packed).hexdigest()}


parameters = {"size": (1, 16_384, 4096), "rounds": (1, 50, 2), "seed": (0, 2**32 - 1, 1)}
handler = workload.handler("pyaes-python", parameters, work)
