/* SHA-256 of a stream, SHA-1 of a short text. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint32_t turn(uint32_t x, int n) { return x >> n | x << (32 - n); }

static uint32_t root(int prime, int cube) {
    /* The first 32 bits behind the point of the square or cube root. */
    __uint128_t low = 0, high = (__uint128_t)1 << 36;
    while (high - low > 1) {
        __uint128_t mid = (low + high) / 2;
        long double value = cube ? (long double)mid * mid * mid : (long double)mid * mid;
        long double scaled = (long double)prime * 4294967296.0L * 4294967296.0L * (cube ? 4294967296.0L : 1);
        if (value <= scaled) low = mid; else high = mid;
    }
    return (uint32_t)low;
}

static uint32_t k256[64], h256[8];
static unsigned char block[64];
static uint64_t hashed;

static void sha256_block(void) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) w[i] = block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t b = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    memcpy(s, h256, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t e = turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25), choice = (s[4] & s[5]) ^ (~s[4] & s[6]);
        uint32_t one = s[7] + e + choice + k256[i] + w[i];
        uint32_t a = turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22), most = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
        memmove(s + 1, s, 28);
        s[4] += one;
        s[0] = one + a + most;
    }
    for (int i = 0; i < 8; i++) h256[i] += s[i];
}

static void sha256_start(void) {
    int found = 0;
    for (int n = 2; found < 64; n++) {
        int prime = 1;
        for (int d = 2; d * d <= n; d++) prime &= n % d != 0;
        if (!prime) continue;
        if (found < 8) h256[found] = root(n, 0);
        k256[found++] = root(n, 1);
    }
    hashed = 0;
}

static void sha256_add(const unsigned char *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        block[hashed++ % 64] = bytes[i];
        if (hashed % 64 == 0) sha256_block();
    }
}

static void sha256_end(char *text) {
    uint64_t bits = hashed * 8;
    unsigned char byte = 0x80;
    sha256_add(&byte, 1);
    for (byte = 0; hashed % 64 != 56;) sha256_add(&byte, 1);
    for (int i = 7; i >= 0; i--) {
        byte = bits >> 8 * i;
        sha256_add(&byte, 1);
    }
    for (int i = 0; i < 8; i++) text += sprintf(text, "%08x", h256[i]);
}

static void sha1(const char *text, unsigned char *digest) {
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}, w[80];
    unsigned char all[256] = {0};
    size_t len = strlen(text), whole = (len + 9 + 63) / 64 * 64;
    memcpy(all, text, len);
    all[len] = 0x80;
    all[whole - 2] = len * 8 >> 8;
    all[whole - 1] = len * 8;
    for (size_t at = 0; at < whole; at += 64) {
        for (int i = 0; i < 16; i++) w[i] = all[at + 4 * i] << 24 | all[at + 4 * i + 1] << 16 | all[at + 4 * i + 2] << 8 | all[at + 4 * i + 3];
        for (int i = 16; i < 80; i++) w[i] = turn(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 31);
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 || i >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);
            uint32_t k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
            uint32_t next = turn(a, 27) + f + e + k + w[i];
            e = d, d = c, c = turn(b, 2), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) digest[i] = h[i / 4] >> 8 * (3 - i % 4);
}
