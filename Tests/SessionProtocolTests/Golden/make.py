#!/usr/bin/env python3
"""Makes the golden messages beside it from Documentation/PROTOCOL.md alone: a second, independent encoder.

Ed25519 is written out after RFC 8032, slow and obvious. Run it only when the protocol changes: the tests compare the
program with the files, and the files with nothing.
"""
import hashlib
import os
import struct

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def recover_x(y, sign):
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return P - x if x % 2 != sign else x


BY = 4 * pow(5, P - 2, P) % P
B = (recover_x(BY, 0), BY)


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    k = D * x1 * x2 * y1 * y2
    return (
        (x1 * y2 + x2 * y1) * pow(1 + k, P - 2, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - k, P - 2, P) % P,
    )


def multiply(point, n):
    result = (0, 1)
    while n:
        if n & 1:
            result = add(result, point)
        point = add(point, point)
        n >>= 1
    return result


def encode_point(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def secret(seed):
    h = hashlib.sha512(seed).digest()
    a = int.from_bytes(h[:32], "little") & (1 << 254) - 8 | 1 << 254
    return a, h[32:]


def public(seed):
    return encode_point(multiply(B, secret(seed)[0]))


def sign(seed, message):
    a, prefix = secret(seed)
    r = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % L
    big_r = encode_point(multiply(B, r))
    h = int.from_bytes(hashlib.sha512(big_r + public(seed) + message).digest(), "little") % L
    return big_r + ((r + h * a) % L).to_bytes(32, "little")


u8 = lambda v: struct.pack("<B", v)
u16 = lambda v: struct.pack("<H", v)
u32 = lambda v: struct.pack("<I", v)
u64 = lambda v: struct.pack("<Q", v)
name = lambda s: u8(len(s.encode())) + s.encode()
text = lambda s: u16(len(s.encode())) + s.encode()
ipv4 = lambda a, b, c, d: u8(4) + bytes([a, b, c, d]) + bytes(12)
ipv6 = lambda h: u8(6) + bytes.fromhex(h)

HOST = bytes(range(32))
SESSION_KEY = bytes(range(32, 64))
NONCE = bytes(range(0x80, 0xA0))
SESSION = u64(0x1122334455667788)
IMAGE = bytes(range(0x40, 0x50))
PARTICIPANT = bytes(range(0x60, 0x70))
GROUP = hashlib.sha256(b"lab1").digest()
GROUP4 = (0xEFC00000 | int.from_bytes(GROUP[:4], "big") & 0x3FFFF).to_bytes(4, "big")

# A set of chunks 3, 4, 5 and 300: ranges, then gap and length per range, as varints.
SET = [("set: ranges", u8(2)), ("set: gap 3, length 3", u8(3) + u8(3)), ("set: gap 294, length 1", b"\xa6\x02" + u8(1))]


def control(kind, critical, fields):
    body = b"".join(value for _, value in fields)
    return [("length", u32(len(body))), ("type", u16(kind)), ("flags", u16(critical))] + fields


accept = [
    ("nonce", NONCE), ("version", u8(1)), ("streams", u8(1)), ("report slot", u16(5)),
    ("longest frame and seal", u32(4194304 + 300)), ("session", SESSION), ("image", IMAGE),
    ("host key", public(HOST)), ("session key", public(SESSION_KEY)), ("data port", u16(997)),
    ("group", u8(4) + GROUP4 + bytes(12)), ("addresses", u8(2)), ("address 192.0.2.1", ipv4(192, 0, 2, 1)),
    ("address 2001:db8::1", ipv6("20010db8000000000000000000000001")), ("manifest length", u32(2)),
    ("manifest", b"{}"),
] + SET
accept_signature = sign(HOST, b"img session 1 accept\0" + b"".join(v for _, v in accept))

announce_start = [("version", u8(1)), ("type", u8(4)), ("zero", u16(0)), ("magic", b"imgs")]
announce = [
    ("lowest version", u8(1)), ("highest version", u8(1)), ("state: registering", u8(0)), ("zero", u8(0)),
    ("session", SESSION), ("joined", u16(2)), ("needed", u16(3)), ("control port", u16(998)),
    ("data port", u16(997)), ("host key", public(HOST)), ("group", u8(4) + GROUP4 + bytes(12)),
    ("session name", name("lab1")), ("addresses", u8(1)), ("address 192.0.2.1", ipv4(192, 0, 2, 1)),
]
announce_signature = sign(
    HOST, b"img session 1 announce\0" + b"".join(v for _, v in announce_start + announce))

frame_header = [
    ("frame: kind", u16(1)), ("frame: header length", u16(8)), ("frame: payload length", u32(3)),
    ("frame: chunk number", u32(300)), ("frame: rest of the header", b"head"),
]
seal = sign(
    SESSION_KEY, b"img session 1 seal\0" + SESSION + IMAGE + b"".join(v for _, v in frame_header))
sealed = frame_header + [("frame: payload", b"abc"), ("seal", seal)]
sealed_bytes = b"".join(v for _, v in sealed)

# The work plane: HOST is the server's key here.
order = [
    ("nonce", NONCE), ("server key", public(HOST)), ("order", u64(0x0102030405060708)), ("verb: take part", u8(1)),
    ("zero", u8(0)), ("seconds", u16(30)), ("clients", u16(5)), ("minutes", u16(15)), ("image", IMAGE),
    ("host key", public(SESSION_KEY)), ("session", name("lab1")), ("image name", name("win11")),
    ("server", name("10.0.0.2")), ("reason", text("session lab1: rule 'RAM > 4000' matched")),
]
order_signature = sign(HOST, b"img work 1 order\0" + b"".join(v for _, v in order))
MANIFEST = [("manifest length", u32(2)), ("manifest", b"{}")]
offer = [
    ("nonce", NONCE), ("server key", public(HOST)), ("session", SESSION), ("image", IMAGE),
    ("session key", public(SESSION_KEY)),
] + MANIFEST + SET
offer_signature = sign(HOST, b"img work 1 offer\0" + b"".join(v for _, v in offer))
room = [("nonce", NONCE), ("server key", public(HOST)), ("image", IMAGE)] + SET
room_signature = sign(HOST, b"img work 1 room\0" + b"".join(v for _, v in room))
MAC = bytes.fromhex("020000000001")
frame_bytes = b"".join(v for _, v in frame_header) + b"abc"

FILES = {
    "ask": ("ASK, workstation to server", control(32, 1, [
        ("lowest version", u8(1)), ("highest version", u8(1)), ("firmware: UEFI", u8(1)), ("zero", u8(0)),
        ("nonce", NONCE), ("bytes of memory", u64(8 << 30)), ("interfaces", u8(2)), ("MAC", MAC),
        ("card", name("8086:15b8 e1000e")), ("MAC", bytes.fromhex("020000000002")), ("card", name("")),
        ("addresses", u8(2)), ("address 192.0.2.1", ipv4(192, 0, 2, 1)),
        ("address 2001:db8::1", ipv6("20010db8000000000000000000000001")), ("host", name("pc\u00fc1")),
        ("CPU", name("CPU 9")), ("BIOS vendor", name("Maker")), ("product", name("Box 3")),
        ("serial", name("S1")), ("asset tag", name("A7")), ("disks", u8(1)), ("size", u64(500107862016)),
        ("disk", name("Disk 500")), ("video", u8(1)), ("card", name("10de:1c82"))])),
    "order": ("ORDER, server to workstation", control(33, 1, [("signature", order_signature)] + order)),
    "outcome": ("OUTCOME, workstation to server", control(34, 1, [
        ("order", u64(0x0102030405060708)), ("MAC", MAC), ("result: failed", u8(1)), ("zero", u8(0)),
        ("image", IMAGE), ("bytes", u64(4194304000)), ("milliseconds", u64(61000)),
        ("text", text("the disk sda is too small"))])),
    "noted": ("NOTED, server to workstation", control(35, 1, [("order", u64(0x0102030405060708))])),
    "role": ("ROLE, master workstation to server", control(36, 1, [
        ("order", u64(0x0102030405060708)), ("host key", public(SESSION_KEY)), ("image", IMAGE)])),
    "fetch": ("FETCH, workstation to server", control(37, 1, [
        ("lowest version", u8(1)), ("highest version", u8(1)), ("zero", u16(0)), ("nonce", NONCE),
        ("known image", IMAGE), ("image", name("win11")), ("host", name("pc1")), ("MAC", MAC)])),
    "offer": ("OFFER, server to workstation", control(38, 1, [("signature", offer_signature)] + offer)),
    "store": ("STORE, workstation to server", control(39, 1, [
        ("lowest version", u8(1)), ("highest version", u8(1)), ("zero", u16(0)), ("nonce", NONCE),
        ("image", IMAGE), ("order", u64(0x0102030405060708)), ("bytes at most", u64(1 << 40)), ("MAC", MAC),
        ("zero", u16(0)), ("image name", name("win11")), ("host", name("pc1"))] + MANIFEST + SET)),
    "room": ("ROOM, server to workstation", control(40, 1, [("signature", room_signature)] + room)),
    "frame": ("FRAME, workstation to server", control(41, 1, [
        ("chunk", u32(300)), ("length", u32(len(frame_bytes)))] + frame_header + [("frame: payload", b"abc")])),
    "join": ("JOIN, participant to host", control(1, 1, [
        ("lowest version", u8(1)), ("highest version", u8(1)), ("zero", u16(0)), ("nonce", NONCE),
        ("link Mbit/s", u32(1000)), ("MAC", bytes.fromhex("020000000001")), ("zero", u16(0)),
        ("participant", PARTICIPANT), ("known image", IMAGE), ("session name", name("lab1")),
        ("name", name("pc\u00fc1")), ("serial", name("S1")), ("disks", u8(1)), ("size", u64(500107862016)),
        ("disk", name("sda Disk"))])),
    "accept": ("ACCEPT, host to participant", control(2, 1, [("signature", accept_signature)] + accept)),
    "refuse": ("REFUSE, host to participant", control(3, 1, [
        ("lowest version", u8(1)), ("highest version", u8(1)), ("code: full", u16(3)),
        ("reason", text("the session lab1 is full"))])),
    "need": ("NEED, participant to host", control(4, 1, [("mode: all", u8(0)), ("zero", bytes(3))] + SET)),
    "report": ("REPORT, participant to host", control(5, 0, [
        ("streams", u8(1)), ("flags: heard", u8(0)), ("free buffers", u16(60)), ("chunks done", u32(1000)),
        ("write KiB/s", u32(102400)), ("decode KiB/s", u32(204800)), ("received", u32(9000)),
        ("lost on the wire", u32(10)), ("lost in the socket", u32(20)), ("lost for want of a buffer", u32(30)),
        ("held below", u32(0xFFFFFFFF)), ("highest sequence", u32(0xFFFFFFF0)),
        ("done: one range, gap 7, length 1", bytes([1, 7, 1]))] + SET + [
        ("chunks with gaps", u16(1)), ("chunk", u32(300)), ("generation", u8(2)), ("stripes", u16(3)),
        ("stripe", u16(0)), ("lacking: 1", u8(1)), ("run bytes", u8(1)), ("missing 5", u8(5)),
        ("stripe", u16(1)), ("lacking: 4", u8(4)), ("run bytes", u8(3)), ("missing 0, 9 to 11", bytes([0, 0x89, 2])),
        ("stripe", u16(2)), ("lacking: 40, not named", u8(40)), ("run bytes", u8(0))])),
    "chunk": ("CHUNK, either way", control(6, 1, [
        ("chunk", u32(300)), ("length", u32(len(sealed_bytes)))] + sealed)),
    "start": ("START, host to participant", control(7, 1, [
        ("participants", u16(3)), ("report interval ms", u16(100)), ("first sequence", u32(77))])),
    "notice": ("NOTICE, either way", control(8, 0, [
        ("level: warning", u8(1)), ("state: running", u8(1)), ("joined", u16(3)), ("needed", u16(2)),
        ("text", text("chunk 5: the seal does not match"))])),
    "done": ("DONE, participant to host", control(9, 1, [
        ("chunks", u64(1000)), ("bytes", u64(4194304000)), ("text", text("61 s"))])),
    "abort": ("ABORT, either way", control(10, 1, [("reason", text("the disk sda is too small"))])),
    "end": ("END, host to participant", control(11, 1, [
        ("outcome: finished", u8(0)), ("zero", u8(0)), ("text", text("thank you"))])),
    "symbol": ("SYMBOL, host to group: the only symbol of chunk 300", [
        ("version", u8(1)), ("type", u8(1)), ("stream", u8(0)), ("generation", u8(0)), ("session", SESSION),
        ("sequence", u32(0)), ("chunk", u32(300)), ("length", u32(len(sealed_bytes))), ("stripe", u16(0)),
        ("symbol", u16(0)), ("zero", u32(0))] + sealed + [("padding", bytes(1408 - len(sealed_bytes)))]),
    "beacon": ("BEACON, host to group", [
        ("version", u8(1)), ("type", u8(2)), ("stream", u8(0)), ("state: running", u8(1)), ("session", SESSION),
        ("next sequence", u32(77)), ("cursor", u32(300)), ("sweeps", u32(2)), ("rate", u64(100000000)),
        ("joined", u16(3)), ("needed", u16(2)), ("zero", bytes(12))]),
    "seek": ("SEEK, participant to everyone", [
        ("lowest version", u8(1)), ("type", u8(3)), ("highest version", u8(1)), ("zero", u8(0)),
        ("magic", b"imgs"), ("participant", PARTICIPANT), ("session name", name("lab1"))]),
    "announce": ("ANNOUNCE, host to everyone", announce_start + [("signature", announce_signature)] + announce),
}

here = os.path.dirname(os.path.abspath(__file__))
for file, (title, fields) in FILES.items():
    with open(os.path.join(here, file + ".hex"), "w") as out:
        out.write(f"# {title}\n")
        for label, value in fields:
            out.write(f"{label} = {value.hex()}\n")
