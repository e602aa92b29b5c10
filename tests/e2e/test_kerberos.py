"""Integrated logins: a realm of its own on loopback, MIT's KDC, a ticket from a cache or a keytab."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

import source
from pipeline import Pipeline, wait_until
from servers import Mssqld
from test_wire import fill, is_followed

REALM = "WEIR.TEST"
SPN = "MSSQLSvc/db.weir.test:1433"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Realm:
    """A key distribution centre with a database in a directory of its own."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="weir-realm-"))
        self.port = free_port()
        (self.root / "krb5.conf").write_text(f"""[libdefaults]
default_realm = {REALM}
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
udp_preference_limit = 1
[realms]
{REALM} = {{
  kdc = 127.0.0.1:{self.port}
}}
""")
        (self.root / "kdc.conf").write_text(f"""[kdcdefaults]
kdc_listen = ""
kdc_tcp_listen = 127.0.0.1:{self.port}
[realms]
{REALM} = {{
  database_name = {self.root}/principal
  key_stash_file = {self.root}/stash
  acl_file = {self.root}/acl
}}
""")
        self.environment = {**os.environ, "KRB5_CONFIG": str(self.root / "krb5.conf"),
                            "KRB5_KDC_PROFILE": str(self.root / "kdc.conf"),
                            "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        self.run("kdb5_util", "create", "-s", "-P", "master", "-r", REALM)
        self.process = subprocess.Popen(["krb5kdc", "-n", "-r", REALM], env=self.environment,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers, 20, "the KDC")

    def run(self, *command, **more):
        return subprocess.run(command, env={**self.environment, **more}, check=True,
                              capture_output=True, text=True, timeout=30)

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def keytab(self, principal):
        """A new principal with a random key; the file that holds it."""
        file = self.root / (principal.replace("/", "_").replace(":", "_") + ".keytab")
        self.run("kadmin.local", "-r", REALM, "-q", f"addprinc -randkey {principal}")
        self.run("kadmin.local", "-r", REALM, "-q", f"ktadd -k {file} {principal}")
        return file

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture(scope="module")
def realm():
    r = Realm()
    yield r
    r.stop()


@pytest.fixture(scope="module")
def server(realm):
    port = free_port()
    service = realm.keytab(SPN)
    own = realm.keytab(f"MSSQLSvc/127.0.0.1:{port}")
    both = realm.root / "service.keytab"
    both.write_bytes(service.read_bytes() + own.read_bytes()[2:])  # entries behind one version
    saved = os.environ.get("KRB5_CONFIG")
    os.environ["KRB5_CONFIG"] = str(realm.root / "krb5.conf")
    s = Mssqld(tls=True, options=["--keytab", str(both)])
    s.port = port
    try:
        s.start()
    finally:
        if saved is None:
            os.environ.pop("KRB5_CONFIG")
        else:
            os.environ["KRB5_CONFIG"] = saved
    fill(s)
    with source.connect(s, "shop") as c:
        source.execute(c, f"CREATE LOGIN [weir@{REALM}] FROM WINDOWS")
        source.execute(c, f"CREATE USER [weir@{REALM}] FOR LOGIN [weir@{REALM}]")
        source.execute(c, f"GRANT SELECT ON SCHEMA::dbo TO [weir@{REALM}]")
        source.execute(c, f"GRANT SELECT ON SCHEMA::cdc TO [weir@{REALM}]")
    yield s
    s.stop()


def by_kerberos(server, realm, spn=None, mode="require", **environment):
    p = Pipeline(server, None, database="shop", tables=("dbo.t",),
                 source={"SslMode": mode, "MicrosoftSQLServerSettings":
                         {"AuthenticationMethod": "kerberos", "ConnectionTimeout": 5}},
                 weir={"SourceServicePrincipal": spn} if spn else {},
                 environment={"KRB5_CONFIG": str(realm.root / "krb5.conf"),
                              "KRB5CCNAME": f"FILE:{realm.root}/none", **environment})
    for name in ("Username", "Password"):
        p.task["SourceEndpoint"].pop(name)
    p.write_task()
    return p


def loads(p):
    p.capture.start()
    wait_until(lambda: is_followed(p) or not p.capture.running, 30, "the load")
    assert p.capture.running, p.capture.log_text()
    assert p.capture.stop() == 0


@pytest.mark.parametrize("mode", ["none", "require"])
@pytest.mark.parametrize("spn", [None, SPN], ids=["own-name", "service-principal"])
def test_ticket_by_keytab(server, realm, spn, mode):
    """KRB5_CLIENT_KTNAME: the ticket is got, and got anew, without anybody."""
    client = realm.root / "weir.keytab"
    if not client.exists():
        realm.keytab("weir")
    begin = len(server.log_text())
    with by_kerberos(server, realm, spn, mode, KRB5_CLIENT_KTNAME=str(client),
                     KRB5CCNAME=f"FILE:{realm.root}/cc-{mode}-{spn is None}") as p:
        loads(p)
    assert f"user=weir@{REALM} database=shop" in server.log_text()[begin:]


def test_ticket_of_a_cache(server, realm):
    """KRB5CCNAME: the ticket somebody got with kinit."""
    client = realm.keytab("cached") if not (realm.root / "weir.keytab").exists() else \
        realm.root / "weir.keytab"
    realm.run("kinit", "-k", "-t", str(client), "weir", KRB5CCNAME=f"FILE:{realm.root}/cache")
    with by_kerberos(server, realm, SPN, KRB5CCNAME=f"FILE:{realm.root}/cache") as p:
        loads(p)
        check = p.weirctl("check", p.task_file).stdout
        assert "connected to 127.0.0.1" in check and "Kerberos" in check


def test_no_ticket(server, realm):
    with by_kerberos(server, realm, SPN) as p:
        p.capture.start()
        wait_until(lambda: "source-retry" in p.capture.log_text(), 20, "the complaint")
        log = p.capture.log_text()
        assert "Kerberos login at" in log and "KRB5_CLIENT_KTNAME" in log and SPN in log
        assert p.capture.running  # tickets come and go


def test_service_without_a_key(server, realm):
    """The KDC knows the client, but no such service."""
    with by_kerberos(server, realm, "MSSQLSvc/nowhere.weir.test:1", "require",
                     KRB5_CLIENT_KTNAME=str(realm.root / "weir.keytab"),
                     KRB5CCNAME=f"FILE:{realm.root}/cc-none") as p:
        assert "Kerberos login at" in p.weirctl("check", p.task_file).stdout


def test_principal_without_a_login(server, realm):
    """The ticket is good; the server does not know the name."""
    client = realm.keytab("stranger")
    with by_kerberos(server, realm, SPN, KRB5_CLIENT_KTNAME=str(client),
                     KRB5CCNAME=f"FILE:{realm.root}/cc-stranger") as p:
        p.capture.start()
        assert p.capture.wait(20) == 78
        assert f"Login failed for user 'stranger@{REALM}'" in p.capture.log_text()
