"""How weir connects: encryption and certificates, read-only intent and routing, names with several
addresses, what the environment may not change, logins that come and go."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from pipeline import Pipeline, wait_until
from servers import Mssqld, make_certificate
from test_capture import make_database
from test_wire import Wire, fill, is_followed, run, task

OTHER_NAME = "DNS:elsewhere.example"


@pytest.fixture(scope="module")
def clear():
    with Wire() as server:
        fill(server)
        yield server


def check(p, **environment):
    p.environment.update(environment)
    answer = p.weirctl("check", p.task_file)
    return answer.stdout + answer.stderr


def mark(server):
    """The log from here on."""
    begin = len(server.log_text())
    return lambda: server.log_text()[begin:]


# ---- encryption -----------------------------------------------------------------------

@pytest.fixture(scope="module", params=["right", "other-name", "expired", "clear"])
def certified(request):
    arguments = {"right": {"tls": True},
                 "other-name": {"tls": True, "certificate_alternative": OTHER_NAME},
                 "expired": {"tls": True, "certificate_days": 0}, "clear": {}}[request.param]
    with Mssqld(**arguments) as server:
        server.kind = request.param
        yield server


@pytest.fixture(scope="module")
def foreign_ca():
    directory = tempfile.mkdtemp(prefix="weir-ca-")
    yield make_certificate(directory)[0]
    shutil.rmtree(directory)


# Which certificates each mode accepts, when Weir.SourceCaFile names their authority.
ACCEPTED = {"none": {"right", "other-name", "expired", "clear"},
            "require": {"right", "other-name", "expired"},
            "verify-ca": {"right", "other-name"},
            "verify-full": {"right"}}


@pytest.mark.parametrize("mode", list(ACCEPTED))
@pytest.mark.parametrize("authority", ["own", "foreign", "system"])
def test_ssl_modes(certified, foreign_ca, mode, authority):
    verifies = mode.startswith("verify")
    ca = {"own": str(certified.certificate or foreign_ca), "foreign": str(foreign_ca),
          "system": ""}[authority]
    accepted = certified.kind in ACCEPTED[mode] and (authority == "own" or not verifies)
    log = mark(certified)
    with Pipeline(certified, None, database="master", source={"SslMode": mode},
                  weir={"SourceCaFile": ca}) as p:
        text = check(p)
    if accepted:
        assert "change data capture is not enabled" in text, text
        # "none" still hides the password where the server can: TLS for the login alone.
        assert f"encrypted={int(mode != 'none')}" in log()
    else:
        assert "TLS handshake failed" in text, text
        assert "do:" in text
        assert "login spid" not in log(), "the login was sent before the certificate was judged"


def test_server_that_forces_encryption():
    with Mssqld(force_encryption=True) as server, \
            Pipeline(server, None, database="master") as p:
        assert "change data capture is not enabled" in check(p)
        assert "encrypted=1" in server.log_text()


def test_authority_file_that_is_none(certified, tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate\n")
    with Pipeline(certified, None, database="master", source={"SslMode": "verify-full"},
                  weir={"SourceCaFile": str(tmp_path / "ca.pem")}) as p:
        assert "TLS handshake failed" in check(p)
        p.task["Weir"]["SourceCaFile"] = str(tmp_path / "missing.pem")
        p.write_task()
        assert f"{tmp_path}/missing.pem cannot be read" in check(p)


# ---- the environment --------------------------------------------------------------------

def test_environment_changes_nothing(tmp_path):
    """FreeTDS reads these; weir's connection must not."""
    dump = tmp_path / "dump"
    conf = tmp_path / ".freetds.conf"
    conf.write_text(f"[global]\n\ttds version = 4.2\n\tencryption = off\n\tdump file = {dump}\n"
                    f"\tdebug flags = 0xffff\n\ttext size = 10\n\thost = 127.0.0.1\n\tport = 1\n"
                    f"[weir]\n\thost = 127.0.0.1\n\tport = 1\n\tencryption = off\n")
    with Mssqld(tls=True) as server:
        fill(server)
        hostile = {"HOME": str(tmp_path), "FREETDSCONF": str(conf), "FREETDS": str(tmp_path),
                   "TDSVER": "4.2", "TDSHOST": "127.0.0.1", "TDSPORT": "1", "TDSQUERY": "weir",
                   "DSQUERY": "weir", "TDSDUMP": str(dump), "TDSDUMPCONFIG": f"{dump}2"}
        with task(server, source={"SslMode": "verify-full"},
                  weir={"SourceCaFile": str(server.certificate)}) as p:
            p.environment.update(hostile)
            p.capture.start()
            wait_until(lambda: is_followed(p), 30, "the load")
            assert p.capture.stop() == 0
        assert "encrypted=1" in server.log_text()
    assert not dump.exists() and not Path(f"{dump}2").exists()


def test_private_file_is_private_and_gone(clear):
    """The configuration DB-Library reads: of this user only, without secrets, for a login only."""
    with task(clear, settings={"ConnectionTimeout": 30}) as p:
        clear.faults("1 hold 0")
        p.capture.start()
        files = wait_until(lambda: list(p.runtime.glob("freetds.*.conf")), 10, "the file")
        assert files[0].stat().st_mode & 0o777 == 0o600
        text = files[0].read_text()
        assert clear.sa_password not in text and "tds version = 7.4" in text
        assert p.capture.stop() == 0
        assert not list(p.runtime.glob("freetds.*.conf"))


# ---- read-only intent, routing ------------------------------------------------------------

def test_read_only_intent(clear):
    log = mark(clear)
    run(clear)
    assert "read_only=0" in log() and "read_only=1" not in log()
    log = mark(clear)
    run(clear, settings={"ApplicationIntent": "ReadOnly"})
    assert "read_only=1" in log() and "read_only=0" not in log()


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_listener_routes_to_a_replica(tls):
    """The listener has no database: all that is read comes from where it routes to."""
    with Wire(tls=tls) as listener, Wire(tls=tls) as replica:
        fill(replica)
        replica.sa_password = listener.sa_password
        replica.restart()
        make_database(listener, [])
        listener.faults(f"* route 127.0.0.1 {replica.port}")
        seen = mark(listener)
        with task(listener, settings={"ApplicationIntent": "ReadOnly"}) as p:
            p.capture.start()
            wait_until(lambda: is_followed(p), 30, "the load from the replica")
            assert p.capture.stop() == 0
        assert "read_only=1" in replica.log_text() and "read_only=1" in seen()


def test_routing_to_nowhere(clear):
    """Azure's redirect, and a listener's, name an address that this host must reach too."""
    with task(clear, settings={"ConnectionTimeout": 2}) as p:
        clear.faults("* route 127.0.0.1 1")
        text = check(p)
        assert "where it routes to none does" in text and "(127.0.0.1,1)" in text, text


def test_routing_cannot_be_verified():
    """FreeTDS hides the name of the server it was routed to: verify-full refuses rather than guess."""
    with Wire(tls=True) as listener, Wire(tls=True) as replica:
        listener.faults(f"* route 127.0.0.1 {replica.port}")
        with task(listener, source={"SslMode": "verify-full"},
                  settings={"ConnectionTimeout": 10},
                  weir={"SourceCaFile": str(listener.certificate)}) as p:
            p.task["SourceEndpoint"]["DatabaseName"] = "master"
            p.write_task()
            text = check(p)
            assert f"routes to 127.0.0.1 port {replica.port}" in text and "verify-ca" in text, text
        assert "login spid" not in replica.log_text()


# ---- names with several addresses -----------------------------------------------------------

WRAPPER = "/usr/lib/x86_64-linux-gnu/libnss_wrapper.so"


@pytest.mark.skipif("asan" in os.environ.get("WEIR_BUILD", ""), reason="preloads a library")
def test_name_with_a_dead_address_first(clear, tmp_path):
    """A listener over several subnets: one address takes no connection, the other serves."""
    assert os.path.exists(WRAPPER), "libnss-wrapper is in tests/setup/packages.txt"
    with socket.socket() as dead:
        # Nobody accepts here: with its queue full the kernel drops what comes, like a firewall.
        dead.bind(("127.0.0.2", clear.port))
        dead.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for s in fillers:
            s.setblocking(False)
            s.connect_ex(("127.0.0.2", clear.port))
        (tmp_path / "hosts").write_text("127.0.0.2 listener.example\n127.0.0.1 listener.example\n")
        with task(clear, source={"ServerName": "listener.example"},
                  settings={"ConnectionTimeout": 5, "MultiSubnetFailover": "Yes"}) as p:
            p.environment.update(LD_PRELOAD=WRAPPER, NSS_WRAPPER_HOSTS=str(tmp_path / "hosts"))
            clear.faults()
            p.capture.start()
            wait_until(lambda: is_followed(p), 20, "the load")
            log = p.capture.log_text()
            assert "source-retry" not in log and "listener.example" in subprocess.run(
                ["cat", str(p.task_file)], capture_output=True, text=True).stdout
            assert p.capture.stop() == 0
        for s in fillers:
            s.close()
