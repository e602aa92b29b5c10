"""Each kind of bad input: a message that says what, where and what to do; nothing lost, no spin."""

import json
import os
import signal
import subprocess
import time

import pytest

import source
from kinesis_server import Kinesisd
from pipeline import BUILD, Pipeline, wait_until
from servers import Mssqld
from stream import StreamReader
from test_story import insert, run_story_sql


@pytest.fixture
def story(mssqld, kinesisd):
    run_story_sql(mssqld)
    return mssqld, kinesisd


def refused(p, *texts, program="weir-capture", status=78, timeout=30):
    """The stage ends with status and its log holds every text."""
    stage = next(s for s in p.stages if s.program == program)
    if not stage.running:
        stage.start()
    assert stage.wait(timeout) == status, stage.log_text()
    log = stage.log_text()
    for text in texts:
        assert text in log, f"{text!r} is not in:\n{log}"
    return log


def edit_task(p, change):
    change(p.task)
    p.write_task()


# ---- the task file ------------------------------------------------------------------

@pytest.mark.parametrize("change,texts", [
    (lambda t: t["Weir"].update(Encodrs=1), ["$.Weir.Encodrs", "Encoders"]),
    (lambda t: t["Weir"].update(Encoders="many"), ["$.Weir.Encoders", "many"]),
    (lambda t: t["Weir"].update(Encoders=0), ["$.Weir.Encoders"]),
    (lambda t: t.update(MigrationType="sometimes"), ["$.MigrationType", "full-load-and-cdc"]),
    (lambda t: t.pop("TargetEndpoint"), ["TargetEndpoint"]),
    (lambda t: t["TargetEndpoint"]["KinesisSettings"].update(StreamArn="stream/x"),
     ["$.TargetEndpoint.KinesisSettings.StreamArn"]),
    (lambda t: t["TableMappings"]["rules"].append({"rule-type": "transformation", "rule-id": "9",
     "rule-name": "x", "rule-action": "convert-lowercase", "rule-target": "table",
     "object-locator": {"schema-name": "%", "table-name": "%"}}),
     ["$.TableMappings.rules[1]", "transformation"]),
])
def test_task_file_complaints(change, texts):
    with Pipeline(None, None) as p:
        edit_task(p, change)
        log = refused(p, str(p.task_file), *texts)
        assert "task.json:" in log
        check = p.weirctl("check", p.task_file)
        assert check.returncode == 1
        for text in texts:
            assert text in check.stdout + check.stderr


def test_broken_json():
    with Pipeline(None, None) as p:
        p.task_file.write_text('{\n  "MigrationType": "cdc",\n  oops\n}\n')
        refused(p, "task.json:3")


def test_missing_task_file():
    done = subprocess.run([BUILD / "weir-capture", "/nonexistent/task.json"], text=True,
                          capture_output=True, timeout=30)
    assert done.returncode in (75, 78)
    assert "/nonexistent/task.json" in done.stderr


# ---- the source ------------------------------------------------------------------------

def test_wrong_password(story):
    with Pipeline(*story) as p:
        (p.directory / "password").write_text("not it")
        log = refused(p, "Login failed", "sa")
        assert "not it" not in log
        check = p.weirctl("check", p.task_file)
        assert check.returncode == 1 and "Login failed" in check.stdout + check.stderr


def test_missing_password_file(story):
    with Pipeline(*story) as p:
        (p.directory / "password").unlink()
        refused(p, str(p.directory / "password"))


def test_unreachable_server_is_retried_without_spinning(kinesisd):
    with Pipeline(None, kinesisd, source={"Port": 1}) as p:
        p.capture.start()
        wait_until(lambda: "127.0.0.1" in p.capture.log_text(), 20, "the complaint")
        time.sleep(1.0)  # a window in which a hot loop would show
        assert p.capture.running
        assert cpu_seconds(p.capture.process.pid) < 0.5
        assert p.capture.stop() == 0


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_server_that_comes_up_later(kinesisd):
    server = Mssqld().start()
    try:
        run_story_sql(server)
        with Pipeline(server, kinesisd) as p:
            server.kill()
            p.start()
            wait_until(lambda: "127.0.0.1" in p.capture.log_text(), 20, "the complaint")
            server.start()
            reader = StreamReader(kinesisd.client(), "invoices")
            reader.wait(lambda rs: sum(r.is_load for r in rs) >= 10, 60, "the load after all")
            # And the other way: a server that dies under a running task.
            server.kill()
            server.start()
            with source.connect(server, "democustomer") as c:
                insert(c, 11, 3)
            reader.wait(lambda rs: sum(r.operation == "insert" for r in rs) >= 3, 60, "the inserts")
    finally:
        server.stop()


def test_untrusted_certificate(kinesisd):
    server = Mssqld(tls=True).start()
    try:
        run_story_sql(server)
        with Pipeline(server, kinesisd, source={"SslMode": "verify-full"}) as p:
            p.capture.start()
            wait_until(lambda: "certificate" in p.capture.log_text().lower(), 30, "the complaint")
            p.capture.kill()
        with Pipeline(server, kinesisd, source={"SslMode": "verify-full"},
                      weir={"SourceCaFile": str(server.certificate)}) as p:
            reader = StreamReader(kinesisd.client(), "invoices")
            p.start()
            reader.wait(lambda rs: sum(r.is_load for r in rs) >= 10, 30, "the load over TLS")
    finally:
        server.stop()


def test_cdc_not_enabled_on_the_database(mssqld, kinesisd):
    with source.connect(mssqld, "master") as c:
        source.execute(c, "CREATE DATABASE democustomer")
    with Pipeline(mssqld, kinesisd) as p:
        refused(p, "democustomer", "sp_cdc_enable_db")


def test_cdc_not_enabled_on_the_table(story):
    mssqld, kinesisd = story
    with source.connect(mssqld, "democustomer") as c:
        source.execute(c, "CREATE TABLE dbo.plain (id INT NOT NULL PRIMARY KEY)")
    with Pipeline(mssqld, kinesisd, tables=("dbo.plain",)) as p:
        refused(p, "sp_cdc_enable_table")
        check = p.weirctl("check", p.task_file)
        assert check.returncode == 1
        assert "sp_cdc_enable_table" in check.stdout + check.stderr


def test_missing_permission(story):
    mssqld, kinesisd = story
    with source.connect(mssqld, "master") as c:
        source.execute(c, "CREATE LOGIN reader WITH PASSWORD = 'Reader-123'")
    with source.connect(mssqld, "democustomer") as c:
        source.execute(c, "CREATE USER reader FOR LOGIN reader")
        source.execute(c, "GRANT SELECT ON dbo.invoices TO reader")
    with Pipeline(mssqld, kinesisd, source={"Username": "reader"}) as p:
        (p.directory / "password").write_text("Reader-123")
        refused(p, "GRANT")
        with source.connect(mssqld, "democustomer") as c:
            source.execute(c, "GRANT SELECT ON SCHEMA::cdc TO reader")
        p.start()
        reader = StreamReader(kinesisd.client(), "invoices")
        reader.wait(lambda rs: sum(r.is_load for r in rs) >= 10, 30, "the load with the right")


# ---- the stream ---------------------------------------------------------------------------

def goes_on_after(p, kinesisd, mend, *texts, stream="invoices"):
    """The shipper complains, waits, and delivers everything once the cause is gone."""
    shipper = p.stage("weir-shipper.0")
    p.start()
    for text in texts:
        wait_until(lambda: text in shipper.log_text(), 30, f"{text!r} in the shipper's log")
    used = cpu_seconds(shipper.process.pid)
    time.sleep(0.5)  # a window in which a hot loop would show
    assert cpu_seconds(shipper.process.pid) - used < 0.25
    assert shipper.running
    mend()
    wait_until(lambda: kinesisd.client().describe_stream_summary(StreamName=stream)
               ["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE", 30, f"{stream} ACTIVE")
    reader = StreamReader(kinesisd.client(), stream)
    reader.wait(lambda rs: sum(r.is_load for r in rs) >= 10, 60, "everything after all")


def test_no_such_stream(story):
    mssqld, kinesisd = story
    with Pipeline(mssqld, kinesisd, stream="missing") as p:
        check = p.weirctl("check", p.task_file)
        assert check.returncode == 1 and "missing" in check.stdout + check.stderr
        goes_on_after(p, kinesisd,
                      lambda: kinesisd.client().create_stream(StreamName="missing", ShardCount=1),
                      "missing", "ResourceNotFoundException", stream="missing")


def test_stream_not_active(mssqld):
    run_story_sql(mssqld)
    kinesisd = Kinesisd(state_delay_ms=4000).start()
    try:
        kinesisd.client().create_stream(StreamName="slow", ShardCount=1)
        with Pipeline(mssqld, kinesisd, stream="slow") as p:
            goes_on_after(p, kinesisd, lambda: None, "CREATING", stream="slow")
    finally:
        kinesisd.stop()


def test_expired_credentials_are_read_again(mssqld):
    run_story_sql(mssqld)
    kinesisd = Kinesisd(streams="invoices:1",
                        credentials=["AKIDOLD old-secret old-token expired",
                                     "AKIDNEW new-secret new-token"]).start()
    try:
        with Pipeline(mssqld, kinesisd) as p:
            file = p.directory / "credentials"
            file.write_text("[default]\naws_access_key_id = AKIDOLD\n"
                            "aws_secret_access_key = old-secret\naws_session_token = old-token\n")
            file.chmod(0o600)
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                del p.environment[name]
            p.environment["AWS_SHARED_CREDENTIALS_FILE"] = str(file)

            def renew():
                file.write_text("[default]\naws_access_key_id = AKIDNEW\n"
                                "aws_secret_access_key = new-secret\n"
                                "aws_session_token = new-token\n")

            p.start()
            shipper = p.stage("weir-shipper.0")
            wait_until(lambda: "ExpiredTokenException" in shipper.log_text(), 30, "the complaint")
            renew()
            reader = StreamReader(kinesisd.client(access_key="AKIDNEW", secret_key="new-secret",
                                                  token="new-token"), "invoices")
            reader.wait(lambda rs: sum(r.is_load for r in rs) >= 10, 60, "everything after all")
            assert "old-secret" not in p.logs() and "new-secret" not in p.logs()
    finally:
        kinesisd.stop()


def test_no_credentials(story):
    with Pipeline(*story) as p:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del p.environment[name]
        p.start()
        wait_until(lambda: "AWS_ACCESS_KEY_ID" in p.stage("weir-shipper.0").log_text(), 30,
                   "what was looked for")


def test_clock_wrong_by_an_hour(mssqld):
    """The server's clock is an hour off ours: the offset is learnt, named and corrected."""
    run_story_sql(mssqld)
    kinesisd = Kinesisd(streams="invoices:1", clock_offset_s=3600,
                        credentials=["AKIDEXAMPLE weir-tests-only"]).start()
    try:
        with Pipeline(mssqld, kinesisd) as p:
            p.start()
            shipper = p.stage("weir-shipper.0")
            wait_until(lambda: "clock" in shipper.log_text(), 30, "the complaint")
            wait_until(lambda: kinesisd.counters()["records"] >= 10, 30, "records after all")
    finally:
        kinesisd.stop()


# ---- the host ------------------------------------------------------------------------------

def test_two_instances_of_one_task(story):
    with Pipeline(*story) as p:
        p.start()
        wait_until(lambda: (p.state / "checkpoint.1.0.json").exists(), 30, "a running task")
        for name in ("weir-capture", "weir-encoder", "weir-shipper"):
            first = next(s for s in p.stages if s.program == name)
            arguments = [] if first.index is None else ["-i", "0"]
            done = subprocess.run([BUILD / name, p.task_file, *arguments], text=True,
                                  capture_output=True, env=p.environment, timeout=30)
            assert done.returncode == 78, f"{name}: {done.returncode}\n{done.stderr}"
            assert str(first.process.pid) in done.stderr
            assert first.running


@pytest.mark.parametrize("damage,texts", [
    ("truncate", ["change.0.ring"]),
    ("foreign", ["change.0.ring"]),
    ("version", ["change.0.ring"]),
])
def test_damaged_ring_file(story, damage, texts):
    mssqld, kinesisd = story
    with Pipeline(mssqld, kinesisd) as p:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        reader.wait(lambda rs: sum(r.is_load for r in rs) >= 10, 30, "the load")
        wait_until(lambda: (p.state / "checkpoint.1.0.json").exists(), 30, "a checkpoint")
        p.kill_all()
        ring = p.runtime / "g1/change.0.ring"
        with open(ring, "r+b") as f:
            if damage == "truncate":
                f.truncate(5000)
            elif damage == "foreign":
                f.write(b"not a ring at all" * 10)
            else:
                f.seek(8)
                f.write(b"\xff\xff")
        refused(p, *texts)
        # The remedy in the message: remove the rings; the task goes on from its checkpoint.
        p.lose_shared_memory()
        with source.connect(mssqld, "democustomer") as c:
            insert(c, 11, 5)
        p.start()
        reader.wait(lambda rs: sum(r.operation == "insert" for r in rs) >= 5, 30, "the inserts")


def test_no_space_for_the_rings(story):
    """A tmpfs that is too small for the rings: said with path and sizes; nothing half made."""
    mssqld, kinesisd = story
    with Pipeline(mssqld, kinesisd, weir={"ChangeRingSize": "16MiB"}) as p:
        small = p.directory / "small"
        small.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", small],
                                 capture_output=True)
        if mounted.returncode != 0:
            pytest.skip("needs the right to mount a tmpfs")
        try:
            edit_task(p, lambda t: t["Weir"].update(RuntimeDirectory=str(small)))
            refused(p, "change.0.ring", str(small))
        finally:
            p.kill_all()
            subprocess.run(["umount", small], check=True)


def test_stop_signal_ends_each_stage_promptly(story):
    with Pipeline(*story) as p:
        p.start()
        wait_until(lambda: (p.state / "checkpoint.1.0.json").exists(), 30, "a running task")
        began = time.monotonic()
        for s in p.stages:
            s.process.send_signal(signal.SIGTERM)
        assert [s.wait(15) for s in p.stages] == [0, 0, 0]
        assert time.monotonic() - began < 10


def test_secrets_stay_out_of_everything_written(story):
    mssqld, kinesisd = story
    with Pipeline(mssqld, kinesisd) as p:
        p.start()
        wait_until(lambda: (p.state / "checkpoint.1.0.json").exists(), 30, "a running task")
        secrets = [mssqld.sa_password.encode(), b"weir-tests-only"]
        for path in [*p.state.rglob("*"), *p.runtime.rglob("*"), *p.directory.glob("*.log")]:
            if path.is_file():
                content = path.read_bytes()
                assert not any(s in content for s in secrets), path
        for s in p.stages:
            line = open(f"/proc/{s.process.pid}/cmdline", "rb").read()
            assert not any(secret in line for secret in secrets)
        shown = json.dumps(p.table_statistics()) + p.weirctl("status", p.task_file).stdout
        assert mssqld.sa_password not in shown
