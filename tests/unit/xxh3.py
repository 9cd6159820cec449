# SPDX-License-Identifier: GPL-3.0-or-later
"""XXH3 by libxxhash: 64 bits as a number, 128 as hexadecimal digits; and 64-bit numbers as the bytes to be hashed."""
import ctypes
import struct

XXH = ctypes.CDLL("libxxhash.so.0")
XXH.XXH3_64bits.restype = ctypes.c_uint64
XXH.XXH3_128bits.restype = type("H", (ctypes.Structure,), {"_fields_": [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]})


def h64(data):
    return XXH.XXH3_64bits(data, ctypes.c_size_t(len(data)))


def h128(data):
    value = XXH.XXH3_128bits(data, ctypes.c_size_t(len(data)))
    return f"{value.high:016x}{value.low:016x}"


def packed(numbers):
    return b"".join(struct.pack("<Q", number) for number in numbers)
