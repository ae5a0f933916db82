#!/usr/bin/env python3
"""Makes parity.hex beside it from Documentation/PROTOCOL.md alone: a second, independent encoder.

Run it only when the protocol changes: the tests compare the program with the file, and the file with nothing.
"""
import os

SYMBOL_BYTES = 64
# Source symbols of a stripe, and the parity symbols that are pinned.
CASES = [(1, [1, 2, 255]), (5, [5, 6, 7, 255]), (124, [124, 125, 200, 255]), (128, [128, 129, 191, 255])]


def multiply(a, b):
    """Product in GF(2^8): polynomials over GF(2), modulo x^8 + x^4 + x^3 + x^2 + 1."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11D
        b >>= 1
    return product


def inverse(a):
    return next(b for b in range(1, 256) if multiply(a, b) == 1)


def source(number, byte):
    """Byte `byte` of source symbol `number`."""
    return (number * 151 + byte * 29 + number * byte * 7 + 3) & 0xFF


def main():
    lines = ["# Made by make.py: sources parity = bytes; byte b of source n is (151n + 29b + 7nb + 3) mod 256."]
    for count, numbers in CASES:
        for number in numbers:
            parity = bytearray(SYMBOL_BYTES)
            for j in range(count):
                coefficient = inverse(number ^ j)
                for b in range(SYMBOL_BYTES):
                    parity[b] ^= multiply(coefficient, source(j, b))
            lines.append(f"{count} {number} = {parity.hex()}")
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "parity.hex"), "w") as file:
        file.write("\n".join(lines) + "\n")


main()
