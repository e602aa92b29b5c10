"""Gaps, retention, the capture job, the heartbeat: each situation made in mssqld, and what weir says of it."""

import json
import re
import signal

import pytest

import source
from pipeline import Pipeline, wait_until
from stream import StreamReader
from test_capture import dump, enable, make_database, wait_for

DAY = 86400
HEALTH = {"HealthIntervalMs": 100, "PollIntervalMs": 20}


def alarms(pipeline):
    answer = pipeline.weirctl("status", pipeline.task_file, "--json")
    return {a["code"]: a for a in json.loads(answer.stdout)["alarms"]}


def gauge(pipeline, name):
    answer = pipeline.weirctl("status", pipeline.task_file, "--json")
    return json.loads(answer.stdout)["stages"][0]["counters"][name]["value"]


def wait_alarm(pipeline, code, timeout=20):
    return wait_until(lambda: alarms(pipeline).get(code), timeout, f"alarm {code}")


def wait_over(pipeline, code, timeout=20):
    wait_until(lambda: code not in alarms(pipeline), timeout, f"the end of alarm {code}")


def two_tables(mssqld):
    make_database(mssqld, [f"CREATE TABLE dbo.{t} (id int NOT NULL PRIMARY KEY, v nvarchar(20))" for t in "ab"],
                  ["a", "b"])


def started(pipeline):
    wait_until(lambda: any(c.is_watermark for c in dump(pipeline)), 30, "the start")


def ids(changes):
    return [int(c.after[0]) for c in changes]


def test_capture_job(mssqld):
    """Missing, stopped, failing, slow: named while it is so, with the statement that mends it, and over."""
    two_tables(mssqld)
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",), weir=HEALTH) as p, \
            source.connect(mssqld, "shop") as c:
        p.capture.start()
        started(p)
        wait_until(lambda: gauge(p, "retention_ns") == 3 * DAY * 10**9, 20, "the first look")
        assert alarms(p) == {}
        for code, begin, remedy, end in [
                ("agent-stopped", "EXEC mssqld.agent @running = 0", "SQL Server Agent", "EXEC mssqld.agent @running = 1"),
                ("capture-job-stopped", "EXEC sys.sp_cdc_stop_job @job_type = N'capture'", "EXEC sys.sp_cdc_start_job", None),
                ("capture-job-missing", "EXEC sys.sp_cdc_drop_job @job_type = N'capture'", "EXEC sys.sp_cdc_add_job", None),
                ("cleanup-job-missing", "EXEC sys.sp_cdc_drop_job @job_type = N'cleanup'",
                 "EXEC sys.sp_cdc_add_job @job_type = N'cleanup'", None)]:
            source.execute(c, begin)
            alarm = wait_alarm(p, code)
            assert remedy in alarm["remedy"]
            assert p.weirctl("status", p.task_file).returncode == 1
            source.execute(c, end or alarm["remedy"])  # what weir says mends it
            wait_over(p, code)
        source.execute(c, "EXEC mssqld.capture_delay @ms = 100")
        source.execute(c, "EXEC mssqld.capture_fail @number = 1105, @message = N'the file group is full'")
        source.execute(c, "INSERT INTO dbo.a VALUES (1, N'x')")
        assert "error 1105: the file group is full" in wait_alarm(p, "capture-job-failing")["text"]
        source.execute(c, "EXEC mssqld.capture_fail @number = 0")
        wait_for(p, 1)
        wait_over(p, "capture-job-failing")
        # The job reads again only after two minutes: silent at first, and late with what it finds then.
        source.execute(c, "EXEC sys.sp_cdc_stop_job @job_type = N'capture'")
        source.execute(c, "INSERT INTO dbo.a VALUES (2, N'x')")
        source.execute(c, "EXEC mssqld.clock @seconds = 120")
        wait_alarm(p, "capture-job-stopped")
        source.execute(c, "EXEC sys.sp_cdc_start_job @job_type = N'capture'")
        slow = wait_alarm(p, "capture-job-slow")
        assert "@maxtrans" in slow["remedy"] and slow["level"] == "warning"
        source.execute(c, "INSERT INTO dbo.a VALUES (3, N'x')")
        wait_over(p, "capture-job-slow")
        log = p.capture.log_text()
        for code in ("agent-stopped", "capture-job-missing", "capture-job-failing", "capture-job-slow"):
            assert log.count(f"alarm-raised alarm={code} ") == 1, log
            assert log.count(f"alarm-over alarm={code}\n") == 1, log
        assert p.weirctl("status", p.task_file).returncode == 1  # the other stages were never started
        assert p.capture.stop() == 0


def test_table_enabled_while_the_job_is_stopped(mssqld):
    """It has no place in the log until the job comes to it: the task goes on and says what is amiss."""
    two_tables(mssqld)
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc", weir=HEALTH) as p, \
            source.connect(mssqld, "shop") as c:
        p.capture.start()
        started(p)
        source.execute(c, "INSERT INTO dbo.a VALUES (7, N'x')")
        wait_for(p, 1)
        source.execute(c, "EXEC sys.sp_cdc_stop_job @job_type = N'capture'")
        source.execute(c, "CREATE TABLE dbo.late (id int NOT NULL PRIMARY KEY)")
        enable(c, "late")
        alarm = wait_alarm(p, "capture-job-stopped")
        assert p.capture.running and "source-retry" not in p.capture.log_text()
        source.execute(c, alarm["remedy"])
        wait_over(p, "capture-job-stopped")
        wait_until(lambda: sum(x.operation == "create-table" for x in dump(p)) == 3, 20, "the late table")
        source.execute(c, "INSERT INTO dbo.late VALUES (1)")
        assert ids(wait_for(p, 2)) == [7, 1] and p.capture.stop() == 0


def test_retention_guard(mssqld, kinesisd):
    """Half of the retention used up, then four fifths: said once each; delivered, it is over."""
    two_tables(mssqld)
    with Pipeline(mssqld, kinesisd, database="shop", tables=("dbo.%",), migration="cdc", weir=HEALTH) as p, \
            source.connect(mssqld, "shop") as c:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        reader.wait(lambda rs: len(rs) == 2, 30, "both tables")
        source.execute(c, "INSERT INTO dbo.a VALUES (1, N'x')")
        reader.wait(lambda rs: any(r.operation == "insert" for r in rs), 30, "the first")
        p.stage("weir-shipper.0").process.send_signal(signal.SIGSTOP)
        source.execute(c, "INSERT INTO dbo.a VALUES (2, N'x')")
        for days, level, percent in ((1.6, "warning", 53), (1.0, "error", 86)):
            source.execute(c, f"EXEC mssqld.clock @seconds = {int(days * DAY)}")
            source.execute(c, f"INSERT INTO dbo.b VALUES ({int(days * 10)}, N'x')")
            wait_until(lambda: alarms(p).get("retention", {}).get("level") == level, 20, level)
            assert f"{percent} %" in alarms(p)["retention"]["text"]
        assert 0.35 * DAY < gauge(p, "headroom_ns") / 1e9 < 0.45 * DAY
        p.stage("weir-shipper.0").process.send_signal(signal.SIGCONT)
        wait_over(p, "retention")
        log = p.capture.log_text()
        assert log.count("alarm-raised alarm=retention") == 2 and log.count("alarm-over alarm=retention") == 1
        assert set(p.stop().values()) == {0}


def test_idle_for_days(mssqld, kinesisd):
    """Dummy rows move the position of an idle database: cleanup passes and nothing is suspended."""
    two_tables(mssqld)
    with Pipeline(mssqld, kinesisd, database="shop", tables=("dbo.%",), migration="cdc", weir=HEALTH) as p, \
            source.connect(mssqld, "shop") as c:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        reader.wait(lambda rs: len(rs) == 2, 30, "both tables")
        for _ in range(8):  # half a day each
            source.execute(c, f"EXEC mssqld.clock @seconds = {DAY // 2}; EXEC mssqld.dummy_row")
            newest = source.lsn_text(source.query(c, "SELECT MAX(start_lsn) FROM cdc.lsn_time_mapping")[0][0])
            wait_until(lambda: newest in json.loads(p.weirctl(
                "status", p.task_file, "--json").stdout)["safe_position"], 20, "the dummy row is acknowledged")
        low = source.query(c, "SELECT MIN(start_lsn) FROM cdc.change_tables")[0][0]
        source.execute(c, "EXEC sys.sp_MScdc_cleanup_job")
        assert source.query(c, "SELECT MIN(start_lsn) FROM cdc.change_tables")[0][0] > low
        source.execute(c, "INSERT INTO dbo.a VALUES (1, N'x'); INSERT INTO dbo.b VALUES (1, N'x')")
        reader.wait(lambda rs: len([r for r in rs if r.operation == "insert"]) == 2, 30, "both changes")
        assert alarms(p) == {} and "alarm-raised" not in p.capture.log_text()
        assert set(p.stop().values()) == {0}


def test_heartbeat(mssqld):
    """The operator's statement keeps the log moving; one that fails is an alarm and no more."""
    two_tables(mssqld)
    with Pipeline(mssqld, None, database="shop", tables=("dbo.a",), migration="cdc",
                  weir={**HEALTH, "HeartbeatIntervalMs": 50,
                        "HeartbeatStatement": "UPDATE dbo.a SET v = CASE v WHEN N'x' THEN N'y' ELSE N'x' END WHERE id = 1"}) as p, \
            source.connect(mssqld, "shop") as c:
        source.execute(c, "INSERT INTO dbo.a VALUES (1, N'x')")
        p.capture.start()
        wait_for(p, 5, operations=("update",))
        source.execute(c, "EXEC mssqld.fail_next @number = 229, @times = 0, @like = N'UPDATE dbo.a%'")
        alarm = wait_alarm(p, "heartbeat-failed")
        assert "229" in alarm["text"]
        source.execute(c, "INSERT INTO dbo.a VALUES (2, N'y')")  # and the task goes on
        wait_until(lambda: [x for x in dump(p) if x.operation == "insert" and x.after[0] == "2"], 20, "an insert")
        source.execute(c, "EXEC mssqld.fail_clear")
        wait_over(p, "heartbeat-failed")
        assert p.capture.stop() == 0


CLEANUP = ("DECLARE @m binary(10) = (SELECT MAX(start_lsn) FROM cdc.lsn_time_mapping WHERE tran_id <> 0x00); "
           "EXEC sys.sp_cdc_cleanup_change_table @capture_instance = N''dbo_a'', @low_water_mark = @m, "
           "@threshold = 5000")


def test_cleanup_between_poll_and_page(mssqld):
    """The interval that is told is what the server removed, to the transaction; the other table goes on."""
    two_tables(mssqld)
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc", weir=HEALTH) as p, \
            source.connect(mssqld, "shop") as c:
        p.capture.start()
        started(p)
        source.execute(c, "INSERT INTO dbo.a VALUES (1, N'given')")
        wait_for(p, 1)
        p.capture.process.send_signal(signal.SIGSTOP)
        for i in range(2, 6):
            source.execute(c, f"INSERT INTO dbo.a VALUES ({i}, N'x'); INSERT INTO dbo.b VALUES ({i}, N'x')")
        source.execute(c, f"EXEC mssqld.before_next @match = N'cdc.[dbo_a_CT]', @sql = N'{CLEANUP}'")
        kept = [source.lsn_text(r[0]) for r in source.query(
            c, "SELECT [__$start_lsn] FROM cdc.dbo_a_CT ORDER BY [__$start_lsn]")]
        p.capture.process.send_signal(signal.SIGCONT)
        changes = wait_for(p, 5)
        assert ids(changes) == [1, 2, 3, 4, 5]
        assert len({x.table for x in changes[1:]}) == 1 and changes[0].table != changes[1].table
        text = wait_alarm(p, "table-suspended")["text"]
        left = [source.lsn_text(r[0]) for r in source.query(
            c, "SELECT [__$start_lsn] FROM cdc.dbo_a_CT ORDER BY [__$start_lsn]")]
        first, last = re.search(r"from LSN (\S+) to (\S+) ", text).groups()
        removed = [lsn for lsn in kept[1:] if lsn not in left]
        assert len(removed) == 3 or len(removed) == 4
        assert kept[0] < first <= removed[0] and removed[-1] <= last and not [x for x in left if first <= x <= last]
        state = json.loads((p.state / "capture.json").read_text())
        lost = {t["name"]: t.get("lost") for t in state["tables"]}
        assert lost["b"] is None and lost["a"]["from"].startswith(first.replace(":", ""))
        assert lost["a"]["upto_real_ns"] > lost["a"]["from_real_ns"] > 0
        # Nothing of it comes later, not after a restart either.
        p.capture.kill()
        p.capture.start()
        source.execute(c, "INSERT INTO dbo.a VALUES (9, N'x'); INSERT INTO dbo.b VALUES (9, N'x')")
        assert ids(wait_for(p, 6)) == [1, 2, 3, 4, 5, 9]
        assert dump(p)[-1].is_watermark and p.capture.stop() == 0


def test_deadlock_in_the_middle_of_a_page(mssqld):
    """The page is read again; nothing is doubled."""
    two_tables(mssqld)
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc", weir=HEALTH) as p, \
            source.connect(mssqld, "shop") as c:
        p.capture.start()
        started(p)
        source.execute(c, "EXEC mssqld.fail_next @number = 1205, @like = N'SELECT TOP%dbo_a_CT%', @after_rows = 3, "
                          "@times = 2")
        source.execute(c, "BEGIN TRANSACTION; " + "; ".join(
            f"INSERT INTO dbo.a VALUES ({i}, N'x'); INSERT INTO dbo.b VALUES ({i}, N'x')" for i in range(10)) +
            "; COMMIT")
        changes = wait_for(p, 20)
        assert [x.number for x in changes] == list(range(1, 21))
        assert "1205" in p.capture.log_text() and p.capture.running
        source.execute(c, "INSERT INTO dbo.a VALUES (99, N'x')")
        assert len(wait_for(p, 21)) == 21 and p.capture.stop() == 0


def test_long_outage(mssqld):
    """After an outage longer than the retention: every table that lost something says exactly what."""
    two_tables(mssqld)
    make = {"database": "shop", "tables": ("dbo.%",), "migration": "cdc", "weir": HEALTH}
    with Pipeline(mssqld, None, **make) as p, source.connect(mssqld, "shop") as c:
        p.capture.start()
        started(p)
        source.execute(c, "INSERT INTO dbo.a VALUES (1, N'x')")
        wait_for(p, 1)
        assert p.capture.stop() == 0
        source.execute(c, "INSERT INTO dbo.a VALUES (2, N'x')")
        source.execute(c, f"EXEC mssqld.clock @seconds = {4 * DAY}")
        source.execute(c, "INSERT INTO dbo.a VALUES (3, N'x')")
        enable_late = "CREATE TABLE dbo.late (id int NOT NULL PRIMARY KEY, v nvarchar(20))"
        source.execute(c, enable_late)
        enable(c, "late")
        source.execute(c, "INSERT INTO dbo.late VALUES (1, N'x')")
        source.execute(c, "EXEC sys.sp_MScdc_cleanup_job")
        p.capture.start()
        assert wait_for(p, 2)[-1].after[0] == "1"  # the table that came meanwhile
        text = p.capture.log_text()
        assert text.count("table-suspended code=history-gap") == 2, text
        assert "dbo.a (changes from LSN" in wait_alarm(p, "table-suspended")["text"]
        assert p.capture.stop() == 0


POLL = "FROM cdc.lsn_time_mapping AS m WHERE m.start_lsn >"
PASSING = [207, 208, 313, 596, 701, 845, 911, 921, 927, 942, 945, 952, 976, 978, 979, 983, 1105, 1204, 1205, 1222,
           3952, 3958, 3961, 3966, 8645, 9002, 35250]


def test_passing_errors(mssqld):
    """What passes is tried again, under its name; nothing is lost or doubled."""
    two_tables(mssqld)
    with Pipeline(mssqld, None, database="shop", tables=("dbo.a",), migration="cdc", weir=HEALTH) as p, \
            source.connect(mssqld, "shop") as c:
        p.capture.start()
        started(p)
        for i, number in enumerate(PASSING):
            source.execute(c, f"EXEC mssqld.fail_next @number = {number}, @match = N'{POLL}'; "
                              f"INSERT INTO dbo.a VALUES ({i}, N'x')")
            assert ids(wait_for(p, i + 1)) == list(range(i + 1))
            errors = json.loads(p.weirctl("status", p.task_file, "--json").stdout)["stages"][0]["errors"]
            assert any(f"server message {number}" in e["text"] for e in errors), (number, errors)
        assert p.capture.running and p.capture.stop() == 0


@pytest.mark.parametrize("number,words", [(229, "GRANT SELECT"), (230, "GRANT SELECT"), (262, "permission"),
                                          (916, "no user"), (22981, "gating role")])
def test_errors_for_the_operator(mssqld, number, words):
    two_tables(mssqld)
    with Pipeline(mssqld, None, database="shop", tables=("dbo.a",), migration="cdc", weir=HEALTH) as p, \
            source.connect(mssqld, "shop") as c:
        p.capture.start()
        started(p)
        source.execute(c, f"EXEC mssqld.fail_next @number = {number}, @times = 0, @match = N'{POLL}'")
        assert p.capture.wait() == 78
        text = p.capture.log_text()
        assert f"server message {number}" in text and words in text, text


# ---- weirctl check ----

def findings(pipeline):
    """{text: (level, remedy)} of the source's part."""
    out, text = {}, None
    lines = pipeline.weirctl("check", pipeline.task_file).stdout.split("\nsource\n")[1].split("\nstream\n")[0]
    for line in lines.split("\n"):
        if line.startswith("         do: "):
            out[text] = (out[text][0], line[13:])
        else:
            text = line[7:]
            out[text] = (line[2:6].strip(), "")
    return out


def found(pipeline, words):
    """The one finding with these words, or None."""
    hits = [(text, *found) for text, found in findings(pipeline).items() if words in text]
    assert len(hits) <= 1, hits
    return hits[0] if hits else None


def test_check_mends_the_jobs(mssqld):
    """Each finding is gone after its own remedy was run."""
    two_tables(mssqld)
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",)) as p, source.connect(mssqld, "shop") as c:
        for begin, words, level in [
                (None, "takes at most 1000 transactions a second (maxtrans 500 x maxscans 10 every 5 s", "warn"),
                ("EXEC sys.sp_cdc_change_job @job_type = N'capture', @continuous = 0", "continuous = 0", "warn"),
                ("EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = 60", "kept for 60 minutes", "warn"),
                ("EXEC sys.sp_cdc_drop_job @job_type = N'cleanup'", "no cleanup job", "warn"),
                ("EXEC sys.sp_cdc_drop_job @job_type = N'capture'", "no capture job", "FAIL"),
                ("EXEC sys.sp_cdc_stop_job @job_type = N'capture'", "the capture job is stopped", "FAIL")]:
            if begin:
                source.execute(c, begin)
            finding = found(p, words)
            assert finding and finding[1] == level, (words, findings(p))
            source.execute(c, finding[2].replace("; then ", "; "))
            assert found(p, words) is None, words
        assert found(p, "takes up to") is None  # add_job made the default settings anew
        source.execute(c, "EXEC mssqld.agent @running = 0")
        assert "SQL Server Agent" in found(p, "Agent is stopped")[2]
        source.execute(c, "EXEC mssqld.agent @running = 1")


def test_check_names_what_tables_became(mssqld):
    make_database(mssqld, [
        "CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY, v nvarchar(max))",
        "CREATE TABLE dbo.heap (id int)",
        "CREATE TABLE dbo.store (id int NOT NULL)",
        "CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY, v varchar(9) COLLATE Greek_CI_AS)",
        "CREATE CLUSTERED COLUMNSTORE INDEX cci ON dbo.store"], ["a", "heap", "c"])
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",)) as p, source.connect(mssqld, "shop") as c:
        assert found(p, "dbo.heap has no primary key")[1] == "warn"
        assert found(p, "dbo.store has a clustered columnstore index")[1] == "FAIL"
        assert "nvarchar" in found(p, "dbo.c, column v: its collation Greek_CI_AS")[2]
        source.execute(c, "ALTER TABLE dbo.a ADD later int NULL")
        later = found(p, "column later was added after capture instance dbo_a")
        source.execute(c, later[2].split(";")[0])  # makes the second instance
        assert found(p, "column later") is None
        two = found(p, "dbo.a has two capture instances: dbo_a is needed up to LSN")
        source.execute(c, two[2].split(": ", 1)[1])
        assert found(p, "two capture instances") is None
        source.execute(c, "ALTER ROLE db_owner DROP MEMBER cdc")
        user = found(p, "user cdc is no member of db_owner")
        assert user[1] == "FAIL"
        source.execute(c, user[2])
        assert found(p, "user cdc") is None


# ---- whose history is it? ----

def follow_shop(mssqld, pipeline, c):
    pipeline.capture.start()
    started(pipeline)
    source.execute(c, "INSERT INTO dbo.a VALUES (1, N'x')")
    wait_for(pipeline, 1)


def refused_for_good(pipeline, *words):
    assert pipeline.capture.wait() == 78, pipeline.capture.log_text()
    text = pipeline.capture.log_text()
    for word in ("history-changed", *words):
        assert word in text, text
    pipeline.capture.start()
    assert pipeline.capture.wait() == 78  # and it stays down


@pytest.mark.parametrize("rights", ["forks seen", "forks hidden"])
def test_restored_to_an_earlier_point(mssqld, rights):
    two_tables(mssqld)
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc", weir=HEALTH) as p:
        with source.connect(mssqld, "shop") as c:
            if rights == "forks hidden":
                source.execute(c, "EXEC mssqld.fail_next @number = 300, @times = 0, @match = N'database_recovery_status'")
            source.execute(c, "EXEC mssqld.backup @name = N'monday'")
            follow_shop(mssqld, p, c)
        with source.connect(mssqld, "master") as c:
            source.execute(c, "EXEC shop.mssqld.restore @name = N'monday', @new_create_date = 1")
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "INSERT INTO dbo.a VALUES (7, N'other')")
        refused_for_good(p, "restored", "undone", "recovery fork" if rights == "forks seen" else "date of creation")
        assert ids(wait_for(p, 1)) == [1]


def test_failed_over_without_loss(mssqld):
    """Another server, the same history: it goes on; that the jobs stayed behind is named."""
    two_tables(mssqld)
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc", weir=HEALTH) as p:
        with source.connect(mssqld, "shop") as c:
            follow_shop(mssqld, p, c)
        with source.connect(mssqld, "master") as c:
            source.execute(c, "EXEC shop.mssqld.failover @server = N'NODE2'")
        alarm = wait_alarm(p, "capture-job-missing")
        with source.connect(mssqld, "shop") as c:
            source.execute(c, alarm["remedy"])
            source.execute(c, "INSERT INTO dbo.a VALUES (2, N'x')")
        wait_over(p, "capture-job-missing")
        assert ids(wait_for(p, 2)) == [1, 2]
        assert "source-moved" in p.capture.log_text() and "NODE2" in (p.state / "capture.json").read_text()
        p.capture.kill()
        p.capture.start()
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "INSERT INTO dbo.a VALUES (3, N'x')")
        assert ids(wait_for(p, 3)) == [1, 2, 3] and p.capture.stop() == 0


def test_failed_over_with_loss(mssqld):
    two_tables(mssqld)
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc", weir=HEALTH) as p:
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "EXEC mssqld.backup @name = N'sent'")
            follow_shop(mssqld, p, c)
        with source.connect(mssqld, "master") as c:
            source.execute(c, "EXEC shop.mssqld.failover @server = N'NODE2', @restore = N'sent'")
        refused_for_good(p, "failed over with loss", "undone")


def test_another_database_of_the_name(mssqld):
    two_tables(mssqld)
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc", weir=HEALTH) as p:
        with source.connect(mssqld, "shop") as c:
            follow_shop(mssqld, p, c)
        assert p.capture.stop() == 0
        with source.connect(mssqld, "master") as c:
            source.execute(c, "DROP DATABASE shop")
        two_tables(mssqld)
        p.capture.start()
        refused_for_good(p, "another database")


def test_states_of_a_database(mssqld):
    """Offline, restoring, recovering, a replica that is not readable: waited for, whatever it takes."""
    two_tables(mssqld)
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc", weir=HEALTH) as p:
        with source.connect(mssqld, "shop") as c:
            follow_shop(mssqld, p, c)
        for i, state in enumerate(["OFFLINE", "RESTORING", "RECOVERING", "NOT_READABLE", "RESOLVING"]):
            with source.connect(mssqld, "master") as c:
                source.execute(c, f"EXEC shop.mssqld.database_state @state = N'{state}'")
                wait_until(lambda: p.weirctl("status", p.task_file).stdout.count("WAIT_SOURCE"), 20, state)
                source.execute(c, "ALTER DATABASE shop SET ONLINE")
            with source.connect(mssqld, "shop") as c:
                source.execute(c, f"INSERT INTO dbo.a VALUES ({i + 2}, N'x')")
            assert ids(wait_for(p, i + 2)) == list(range(1, i + 3))
        assert p.capture.running and p.capture.stop() == 0


def test_a_readable_secondary(mssqld):
    """Its views and jobs are another server's; its changes come all the same, and a heartbeat cannot run."""
    two_tables(mssqld)
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc",
                  source={"MicrosoftSQLServerSettings": {"ApplicationIntent": "ReadOnly"}},
                  weir={**HEALTH, "HeartbeatIntervalMs": 50,
                        "HeartbeatStatement": "UPDATE dbo.b SET v = N'x' WHERE id = 1"}) as p:
        with source.connect(mssqld, "shop") as c:
            follow_shop(mssqld, p, c)
            source.execute(c, "INSERT INTO dbo.a VALUES (2, N'x')")
            source.execute(c, "EXEC mssqld.read_only @on = 1")
            wait_for(p, 2)
            assert "3906" in wait_alarm(p, "heartbeat-failed")["text"]
            assert set(alarms(p)) == {"heartbeat-failed"}
            assert p.capture.running and p.capture.stop() == 0


@pytest.mark.parametrize("tables", ["one of two", "the only one"])
def test_loaded_anew_after_a_gap(mssqld, tables):
    """By command, while the other table goes on, or when none was left and the task is down."""
    two_tables(mssqld)
    chosen = ("dbo.%",) if tables == "one of two" else ("dbo.a",)
    with Pipeline(mssqld, None, database="shop", tables=chosen, weir=HEALTH) as p, \
            source.connect(mssqld, "shop") as c:
        p.capture.start()
        started(p)
        source.execute(c, "INSERT INTO dbo.a VALUES (1, N'given')")
        wait_for(p, 1)
        source.execute(c, f"EXEC mssqld.before_next @match = N'lsn_time_mapping AS m WHERE m.start_lsn >', @sql = N'"
                          f"INSERT INTO dbo.a VALUES (2, N''lost''); INSERT INTO dbo.a VALUES (3, N''kept''); {CLEANUP}'")
        if tables == "one of two":
            wait_alarm(p, "table-suspended")
            assert p.weirctl("reload", p.task_file, "--table", "dbo.a").returncode == 0
        else:
            assert p.capture.wait() == 78
            assert "no table of the task is left: dbo.a: changes from LSN" in p.capture.log_text()
            p.capture.start()
            assert p.capture.wait() == 78
            assert p.weirctl("reload", p.task_file, "--table", "dbo.a").returncode == 0
            p.capture.start()
        loads = wait_for(p, 3, operations=("load",))
        assert sorted(ids(loads)) == [1, 2, 3]
        wait_over(p, "table-suspended")
        source.execute(c, "INSERT INTO dbo.a VALUES (4, N'x')")
        wait_until(lambda: 4 in ids([x for x in dump(p) if x.operation == "insert"]), 20, "the next change")
        assert json.loads((p.state / "capture.json").read_text())["tables"][0].get("lost") is None
        assert p.capture.stop() == 0


def test_check_of_what_cannot_be_made_here(mssqld):
    """Kinds of tables and settings of the server that mssqld only shows."""
    make_database(mssqld, ["CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY, v nvarchar(max))"], ["a"])
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",)) as p, source.connect(mssqld, "shop") as c:
        large = found(p, "'max text repl size' is 65536")
        source.execute(c, large[2].split(" (on ")[0])
        assert found(p, "max text repl size") is None
        for view, column, value, thing, words, level in [
                ("sys.tables", "temporal_type", 2, "dbo.a", "dbo.a is temporal", "warn"),
                ("sys.tables", "is_memory_optimized", 1, "dbo.a", "dbo.a is memory-optimised", "FAIL"),
                ("sys.databases", "is_published", 1, None, "published for transactional replication", "warn")]:
            name = f", @object = N'{thing}'" if thing else ""
            order = f"EXEC mssqld.override @view = N'{view}', @column = N'{column}', @value = "
            source.execute(c, f"{order}N'{value}'{name}")
            assert found(p, words)[1] == level
            source.execute(c, f"{order}NULL{name}")
            assert found(p, words) is None


@pytest.mark.parametrize("flavour,note", [("azure-sql-database", "Azure SQL Database captures every 20 seconds"),
                                          ("managed-instance", None), ("rds", None)])
def test_flavours(mssqld, flavour, note):
    """Views that are not there are left out; what is special is said; changes come as ever."""
    two_tables(mssqld)
    with source.connect(mssqld, "shop") as c:
        source.execute(c, f"EXEC mssqld.flavour @name = N'{flavour}'")
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc", weir=HEALTH) as p, \
            source.connect(mssqld, "shop") as c:
        p.capture.start()
        started(p)
        source.execute(c, "INSERT INTO dbo.a VALUES (1, N'x')")
        wait_for(p, 1)
        wait_until(lambda: gauge(p, "retention_ns") == 3 * DAY * 10**9, 20, "the retention")
        assert {a["text"].split(",")[0].split(":")[0] for a in alarms(p).values()} <= {note}
        assert [x for x in findings(p).values() if x[0] == "FAIL"] == []
        if note:
            assert alarms(p)["latency-floor"]["level"] == "note" and found(p, note)[1] == "ok"
        elif flavour == "rds":
            assert "rds_set_configuration" in found(p, "takes at most")[2]
        assert p.capture.running and p.capture.stop() == 0
