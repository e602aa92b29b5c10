"""What the shipper's one thread can do.

figures: shipper.plain shipper.tls shipper.strict

feed_records fills a record ring, weir-shipper delivers to kinesisd on the other core, without limits.
plain and tls: records a second of the shipper's own processor time, kernel included, against
hashing and base64 (and AES-128-GCM for tls) alone on the same bytes. strict: wall-clock rate
of 20,000 keys against that of records that all have keys of their own, which have no order to keep.
"""

import base64
import hashlib
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
os.chdir(ROOT)
os.environ["WEIR_BUILD"] = "build/release"

from kinesis_server import Kinesisd  # noqa: E402
import test_shipper  # noqa: E402

RUNS = 5
RECORDS = 150_000
SIZE = 300

test_shipper.FAULT_BUILD = test_shipper.BUILD


def deliver(keys, certificate=None):
    """(records per second of shipper CPU, records per second of wall clock)"""
    tls = {} if certificate is None else {"tls_cert": certificate[0], "tls_key": certificate[1]}
    weir = {"RecordRingSize": "128MiB"}
    if certificate is not None:
        weir["EndpointCaFile"] = str(certificate[0])
    with Kinesisd(streams=f"{test_shipper.STREAM}:8", throttle=False, **tls) as server, \
            test_shipper.Fed(server.endpoint, weir=weir) as fed:
        fed.feed(RECORDS, keys, SIZE)
        fed.wait_line("written", 60)
        start = time.monotonic()
        shipper = fed.ship()
        fed.wait_line("drained", 120)
        wall = time.monotonic() - start
        cpu = test_shipper.cpu_seconds(shipper.pid)
        assert server.records(test_shipper.STREAM) == RECORDS
    return RECORDS / cpu, RECORDS / wall


def bare(with_cipher):
    """Records per second of hashing, base64 and cipher alone, a request of 500 at a time."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    record = os.urandom(SIZE)
    cipher = AESGCM(os.urandom(16))
    body = os.urandom(500 * (SIZE * 4 // 3 + 50))
    start = time.process_time()
    turns = 300
    for _ in range(turns):
        base64.b64encode(record * 500)
        hashlib.sha256(body).digest()
        if with_cipher:
            cipher.encrypt(b"123456789012", body, None)
    return turns * 500 / (time.process_time() - start)


def make_certificate(directory):
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


def figure(name, values, limits, of_what):
    value = statistics.median(values)
    ratio = statistics.median(v / limit for v, limit in zip(values, limits))
    print(f"figure\t{name}\t{value:.0f}\trecords/s\t{ratio:.2f}\t{of_what}", flush=True)


def main():
    plain, plain_limit, tls, tls_limit, strict, loose = [], [], [], [], [], []
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as directory:
        certificate = make_certificate(pathlib.Path(directory))
        for _ in range(RUNS):
            cpu, wall = deliver(20_000)
            plain.append(cpu)
            strict.append(wall)
            plain_limit.append(bare(False))
            loose.append(deliver(RECORDS)[1])
            tls.append(deliver(20_000, certificate)[0])
            tls_limit.append(bare(True))
    figure("shipper.plain", plain, plain_limit, "hashing and base64 alone, processor time")
    figure("shipper.tls", tls, tls_limit, "hashing, base64 and cipher alone, processor time")
    figure("shipper.strict", strict, loose, "records that all have keys of their own")


if __name__ == "__main__":
    main()
