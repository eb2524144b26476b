"""AES-128 (FIPS 197) in counter mode, in Python alone, with tables as the package pyaes has them."""


def double(x):
    return (x << 1) ^ (0x11B if x & 0x80 else 0)


def make_sbox():
    box, p, q = [0x63] * 256, 1, 1
    while True:
        # p runs through all numbers but 0, as powers of 3; q is its inverse.
        p ^= double(p)
        p &= 0xFF
        for shift in (1, 2, 4):
            q ^= q << shift
        q &= 0xFF
        q ^= 0x09 if q & 0x80 else 0
        rotated = [(q << n | q >> (8 - n)) & 0xFF for n in range(1, 5)]
        box[p] = q ^ rotated[0] ^ rotated[1] ^ rotated[2] ^ rotated[3] ^ 0x63
        if p == 1:
            return box


SBOX = make_sbox()


def make_table(turn):
    """S-box and MixColumns of one byte, as a word, turned by `turn` bytes."""
    table = []
    for s in SBOX:
        two = double(s) & 0xFF
        word = two << 24 | s << 16 | s << 8 | (two ^ s)
        table.append((word >> (8 * turn) | word << (32 - 8 * turn)) & 0xFFFFFFFF)
    return table


T0, T1, T2, T3 = (make_table(turn) for turn in range(4))


def expand(key):
    """The words of the round keys."""
    words = [int.from_bytes(key[at:at + 4], "big") for at in range(0, 16, 4)]
    constant = 1
    for at in range(4, 44):
        word = words[-1]
        if at % 4 == 0:
            word = (word << 8 | word >> 24) & 0xFFFFFFFF
            word = SBOX[word >> 24] << 24 | SBOX[word >> 16 & 255] << 16 | SBOX[word >> 8 & 255] << 8 | SBOX[word & 255]
            word ^= constant << 24
            constant = double(constant) & 0xFF
        words.append(words[at - 4] ^ word)
    return words


def encrypt_block(words, block):
    """One block, as a number, encrypted."""
    a, b, c, d = (block >> shift & 0xFFFFFFFF for shift in (96, 64, 32, 0))
    a, b, c, d = a ^ words[0], b ^ words[1], c ^ words[2], d ^ words[3]
    for at in range(4, 40, 4):
        a, b, c, d = (
            T0[a >> 24] ^ T1[b >> 16 & 255] ^ T2[c >> 8 & 255] ^ T3[d & 255] ^ words[at],
            T0[b >> 24] ^ T1[c >> 16 & 255] ^ T2[d >> 8 & 255] ^ T3[a & 255] ^ words[at + 1],
            T0[c >> 24] ^ T1[d >> 16 & 255] ^ T2[a >> 8 & 255] ^ T3[b & 255] ^ words[at + 2],
            T0[d >> 24] ^ T1[a >> 16 & 255] ^ T2[b >> 8 & 255] ^ T3[c & 255] ^ words[at + 3],
        )
    last = lambda e, f, g, h: SBOX[e >> 24] << 24 | SBOX[f >> 16 & 255] << 16 | SBOX[g >> 8 & 255] << 8 | SBOX[h & 255]
    columns = last(a, b, c, d), last(b, c, d, a), last(c, d, a, b), last(d, a, b, c)
    out = 0
    for column, word in zip(columns, words[40:]):
        out = out << 32 | (column ^ word)
    return out


def counter_mode(key, counter, data):
    """Encrypts or decrypts: both are the same."""
    words, out = expand(key), bytearray()
    for at in range(0, len(data), 16):
        block = data[at:at + 16]
        stream = encrypt_block(words, counter).to_bytes(16, "big")
        out += bytes(x ^ y for x, y in zip(block, stream))
        counter = (counter + 1) % (1 << 128)
    return bytes(out)
