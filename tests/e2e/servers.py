"""mssqld, the SQL Server look-alike, for end-to-end tests.

    with Mssqld(tls=True) as server:
        server.port, server.sa_password, server.certificate
        server.tsql("SELECT 1")

Started on a free loopback port, awaited until it listens, stopped by process id.
"""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("WEIR_BUILD", ROOT / "build" / "release"))
if not BUILD.is_absolute():
    BUILD = ROOT / BUILD

START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 20


def make_certificate(directory, *, name="localhost", days=2, alternative="DNS:localhost,IP:127.0.0.1"):
    """A self-signed certificate; returns (certificate, key) as paths.  days <= 0: expired."""
    directory = Path(directory)
    cert, key, config = (directory / f for f in ("server.pem", "server.key", "openssl.cnf"))
    config.write_text(f"""[req]
distinguished_name = dn
x509_extensions = ext
prompt = no
[dn]
CN = {name}
[ext]
subjectAltName = {alternative}
basicConstraints = critical, CA:TRUE
keyUsage = digitalSignature, keyEncipherment, keyCertSign
extendedKeyUsage = serverAuth
""")
    run = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-config", config,
           "-keyout", key, "-out", cert, "-days", str(max(days, 1))]
    subprocess.run(run, check=True, capture_output=True)
    if days <= 0:
        # `openssl req` cannot look back; `openssl ca` can.
        for file in ("index.txt", "index.txt.attr"):
            (directory / file).write_text("")
        (directory / "serial").write_text("01\n")
        config.write_text(config.read_text() + f"""
[ca]
default_ca = me
[me]
database = {directory}/index.txt
serial = {directory}/serial
new_certs_dir = {directory}
default_md = sha256
policy = any
x509_extensions = ext
[any]
commonName = supplied
""")
        request = directory / "request.pem"
        subprocess.run(["openssl", "req", "-new", "-key", key, "-config", config, "-out", request],
                       check=True, capture_output=True)
        subprocess.run(["openssl", "ca", "-batch", "-config", config, "-selfsign", "-keyfile", key,
                        "-in", request, "-out", cert, "-notext",
                        "-startdate", "20200101000000Z", "-enddate", "20200102000000Z"],
                       check=True, capture_output=True)
    return cert, key


class Mssqld:
    """One mssqld process.  start() and stop(), or a with block; restart() keeps the databases."""

    def __init__(self, *, tls=False, force_encryption=False, directory=None, certificate_days=2,
                 certificate_alternative="DNS:localhost,IP:127.0.0.1", options=()):
        self._own_directory = directory is None
        self.root = Path(directory or tempfile.mkdtemp(prefix="mssqld-"))
        self.root.mkdir(parents=True, exist_ok=True)
        self.sa_password = "Pw-" + secrets.token_hex(8)
        self.port = None
        self.process = None
        self.certificate = self.key = None
        self.force_encryption = force_encryption
        self.options = list(options)
        self.log = self.root / "mssqld.log"
        if tls or force_encryption:
            self.certificate, self.key = make_certificate(
                self.root, days=certificate_days, alternative=certificate_alternative)

    def start(self):
        port_file = self.root / "port"
        port_file.unlink(missing_ok=True)
        password_file = self.root / "sa-password"
        password_file.write_text(self.sa_password + "\n")
        password_file.chmod(0o600)
        command = [BUILD / "mssqld", "--listen", "127.0.0.1", "--port", str(self.port or 0),
                   "--directory", self.root / "data", "--sa-password-file", password_file,
                   "--port-file", port_file]
        if self.certificate:
            command += ["--tls-cert", self.certificate, "--tls-key", self.key]
        if self.force_encryption:
            command.append("--force-encryption")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([str(c) for c in command + self.options], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not port_file.exists():
            if self.process.poll() is not None:
                raise RuntimeError(f"mssqld ended with {self.process.returncode}:\n{self.log_text()}")
            if time.monotonic() > deadline:
                self.stop()
                raise TimeoutError(f"mssqld does not listen:\n{self.log_text()}")
            time.sleep(0.01)
        self.port = int(port_file.read_text())
        return self

    def stop(self):
        """SIGTERM; the exit status must be 0.  A server that does not end is killed and reported."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise TimeoutError(f"mssqld did not end within {STOP_TIMEOUT_S} s of SIGTERM") from None
        finally:
            text = self.log_text()
            if self._own_directory:
                shutil.rmtree(self.root, ignore_errors=True)
        if status != 0:
            raise RuntimeError(f"mssqld ended with {status}:\n{text}")

    def kill(self):
        """SIGKILL, as a crash; the databases stay for start()."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self):
        own, self._own_directory = self._own_directory, False
        try:
            self.stop()
        finally:
            self._own_directory = own
        return self.start()

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # ---- FreeTDS's own tools ----

    def freetds_environment(self, encryption="off", ca=None, host="127.0.0.1", packet_size=None):
        """Environment in which the server name `mssqld` means this server."""
        conf = self.root / "freetds.conf"
        lines = ["[mssqld]", f"host = {host}", f"port = {self.port}", "tds version = 7.4",
                 "client charset = UTF-8", "text size = 2147483647"]
        if encryption:
            lines.append(f"encryption = {encryption}")
        if ca:
            lines.append(f"ca file = {ca}")
        if packet_size:
            lines.append(f"initial block size = {packet_size}")
        conf.write_text("\n".join(lines) + "\n")
        env = {k: v for k, v in os.environ.items() if not k.startswith("TDS")}
        return {**env, "FREETDSCONF": str(conf), "LC_ALL": "C.UTF-8"}

    def tsql(self, sql, *, user="sa", password=None, database=None, timeout=30, **freetds):
        """Runs sql (batches separated by GO lines) with tsql; returns the completed process."""
        command = ["tsql", "-S", "mssqld", "-U", user, "-P",
                   self.sa_password if password is None else password, "-o", "q"]
        if database:
            command += ["-D", database]
        if not sql.rstrip().upper().endswith("\nGO"):
            sql = sql.rstrip() + "\nGO\n"
        return subprocess.run(command, input=sql + "\nexit\n", text=True, capture_output=True,
                              timeout=timeout, env=self.freetds_environment(**freetds))

    def bsqldb(self, sql, *, user="sa", password=None, database=None, timeout=30, **freetds):
        """Runs sql with bsqldb; columns come separated by '|'."""
        command = ["bsqldb", "-S", "mssqld", "-U", user, "-P",
                   self.sa_password if password is None else password, "-t", "|"]
        if database:
            command += ["-D", database]
        return subprocess.run(command, input=sql, text=True, capture_output=True,
                              timeout=timeout, env=self.freetds_environment(**freetds))

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, *_):
        self.stop()
