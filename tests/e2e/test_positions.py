"""Where a task begins and ends: start and stop positions, and the modes of starting."""

import datetime
import json
import os
import threading
import time

import pytest

import source
from pipeline import Pipeline, wait_until
from servers import Mssqld
from stream import StreamReader, judge
from test_capture import dump, enable, make_database
from test_restart import fast_kinesisd  # noqa: F401

CHANGES = ("load", "insert", "update", "delete")
TABLE = "CREATE TABLE dbo.{} (id int NOT NULL PRIMARY KEY, v nvarchar(20))"


def ids(pipeline, table=None, generation=1):
    return [int((c.after or c.before)[0]) for c in dump(pipeline, generation=generation)
            if c.operation in CHANGES and table in (None, c.table)]


def put(connection, table, *keys):
    for key in keys:
        source.execute(connection, f"INSERT INTO dbo.{table} (id, v) VALUES ({key}, N'x')")


def commits(connection):
    """(LSN text, commit time as aware UTC) of all entries of the mapping, oldest first."""
    rows = source.query(connection, "SELECT start_lsn, tran_end_time FROM cdc.lsn_time_mapping ORDER BY start_lsn")
    offset = source.query(connection, "SELECT DATEDIFF(minute, SYSUTCDATETIME(), SYSDATETIME())")[0][0]
    return [(source.lsn_text(lsn), t - datetime.timedelta(minutes=offset)) for lsn, t in rows]


def lsn_of(connection, table, key):
    rows = source.query(connection, f"SELECT [__$start_lsn] FROM cdc.[dbo_{table}_CT] WHERE id = {key}")
    return source.lsn_text(rows[0][0])


def pause_clock():
    """Commit times are 1/300 s apart at least; these are told apart for certain."""
    time.sleep(0.02)


def iso(moment):
    return moment.isoformat(timespec="milliseconds")


def start_elsewhere(server):
    """The server's clock is set to a zone of its own."""
    zone, os.environ["TZ"] = os.environ.get("TZ"), "America/St_Johns"
    try:
        return server.start()
    finally:
        os.environ.pop("TZ")
        if zone is not None:
            os.environ["TZ"] = zone


@pytest.fixture(scope="module")
def shop():
    """Six commits in dbo.a, the even ones in dbo.b too, on a server that is not at UTC."""
    server = start_elsewhere(Mssqld())
    make_database(server, [TABLE.format("a"), TABLE.format("b")], ["a", "b"])
    with source.connect(server, "shop") as c:
        server.before = source.query(c, "SELECT SYSUTCDATETIME()")[0][0]
        for key in range(1, 7):
            pause_clock()
            put(c, "a", key)
            if key % 2 == 0:
                pause_clock()
                put(c, "b", key)
        server.times = {key: next(t for lsn, t in commits(c) if lsn == lsn_of(c, "a", key))
                        for key in range(1, 7)}
        server.lsns = {key: lsn_of(c, "a", key) for key in range(1, 7)}
        server.records = source.change_positions(c, "dbo_a")
        assert abs(source.query(c, "SELECT DATEDIFF(minute, SYSUTCDATETIME(), SYSDATETIME())")[0][0]) > 60
    yield server
    server.stop()


def cdc(server, position=None, **more):
    p = Pipeline(server, None, database="shop", tables=("dbo.%",), migration="cdc")
    if position is not None:
        p.task["CdcStartPosition"] = position
    p.task.update(more)
    p.write_task()
    return p


MS = datetime.timedelta(milliseconds=1)
STARTS = [
    ("earliest", lambda s: "earliest", [1, 2, 2, 3, 4, 4, 5, 6, 6]),
    ("first LSN", lambda s: s.lsns[1], [1, 2, 2, 3, 4, 4, 5, 6, 6]),
    ("LSN", lambda s: s.lsns[3], [3, 4, 4, 5, 6, 6]),
    ("hexadecimal LSN", lambda s: "0x" + s.lsns[3].replace(":", ""), [3, 4, 4, 5, 6, 6]),
    ("checkpoint", lambda s: f"checkpoint:V1#27#{s.lsns[3]}#0#0#*#0#93", [3, 4, 4, 5, 6, 6]),
    ("time", lambda s: iso(s.times[3]), [3, 4, 4, 5, 6, 6]),
    ("time with zone", lambda s: iso(s.times[3] + datetime.timedelta(hours=2)) + "+02:00", [3, 4, 4, 5, 6, 6]),
    ("time behind a commit", lambda s: iso(s.times[3] + 5 * MS), [4, 4, 5, 6, 6]),
    ("stream-position", lambda s: s.records[2], [4, 4, 5, 6, 6]),
    ("last stream-position", lambda s: s.records[5], [6]),
]


@pytest.mark.parametrize("position,wanted", [s[1:] for s in STARTS], ids=[s[0] for s in STARTS])
def test_start_is_exact(shop, position, wanted):
    with cdc(shop, position(shop)) as p:
        p.capture.start()
        wait_until(lambda: len(ids(p)) >= len(wanted), 20, f"{len(wanted)} changes")
        wait_until(lambda: dump(p)[-1].is_watermark, 20, "the end of the log")
        assert ids(p) == wanted
        assert [c.operation for c in dump(p)].count("create-table") == 2
        assert p.capture.stop() == 0
        # The next start goes on where this one was.
        p.capture.start()
        wait_until(lambda: p.capture.log_text().count("source-connected") == 2, 20, "the second start")
        assert p.capture.stop() == 0
        assert ids(p) == wanted


def test_start_now_and_by_number(shop):
    """Nothing of the past; and the time as the AWS command line prints it."""
    with cdc(shop, "now") as p, cdc(shop) as q:
        after = source_utc(shop)
        q.task["CdcStartTime"] = (shop.times[5] - datetime.datetime(1970, 1, 1)).total_seconds()
        q.write_task()
        p.capture.start()
        q.capture.start()
        wait_until(lambda: len(ids(q)) >= 3, 20, "what came since")
        assert ids(q) == [5, 6, 6], after
        wait_until(lambda: [c.operation for c in dump(p)].count("create-table") == 2, 20, "the start")
        assert ids(p) == []


def source_utc(server):
    with source.connect(server, "shop") as c:
        return source.query(c, "SELECT SYSUTCDATETIME()")[0][0]


def refused(pipeline, *words):
    pipeline.capture.start()
    assert pipeline.capture.wait() == 78, pipeline.capture.log_text()
    text = pipeline.capture.log_text()
    for word in ("position-out-of-range", *words):
        assert word in text, text
    assert not (pipeline.state / "capture.json").exists()
    return text


def test_out_of_range_is_refused_with_the_range(shop):
    first = shop.lsns[1]
    with cdc(shop, "00000001:00000001:0001") as p:
        text = refused(p, "lies before what the source still has", "retained-range table=\"dbo.a\"",
                       "retained-range table=\"dbo.b\"", "weirctl positions")
        # What is printed can be copied.
        start = text.split("changes from ")[1].split(" ")[0]
        p.task["CdcStartPosition"] = start
        p.write_task()
        p.capture.start()
        wait_until(lambda: len(ids(p)) == 9, 20, "all there is")
        assert start < first
    with cdc(shop, iso(shop.before - datetime.timedelta(days=1))) as p:
        refused(p, "lies before what the source still has")
    with cdc(shop, iso(source_utc(shop) + datetime.timedelta(hours=1))) as p:
        refused(p, "lies ahead of the source")
    with cdc(shop, "0fffffff:00000000:0000") as p:
        refused(p, "lies ahead of the source")


def test_table_enabled_later_and_cleaned_table(mssqld):
    """By position all tables must have it; `earliest` takes of each what there is."""
    make_database(mssqld, [TABLE.format("a"), TABLE.format("b")], ["a"])
    with source.connect(mssqld, "shop") as c:
        put(c, "a", 1, 2, 3)
        enable(c, "b")
        put(c, "b", 4)
        put(c, "a", 5)
        lsn = lsn_of(c, "a", 2)
        with cdc(mssqld, lsn) as p:
            refused(p, "table dbo.b")
        with cdc(mssqld, "earliest") as p:
            p.capture.start()
            wait_until(lambda: len(ids(p)) >= 5, 20, "all there is")
            assert ids(p) == [1, 2, 3, 4, 5]
        source.execute(c, "EXEC sys.sp_cdc_cleanup_change_table @capture_instance = N'dbo_a', "
                          f"@low_water_mark = 0x{lsn_of(c, 'a', 3).replace(':', '')}, @threshold = 5000")
        with cdc(mssqld, lsn) as p:
            refused(p, "changes from", "weirctl positions")
        with cdc(mssqld, "earliest") as p:
            p.capture.start()
            wait_until(lambda: len(ids(p)) >= 3, 20, "what is left")
            assert ids(p) == [3, 4, 5]
            assert [c.operation for c in dump(p)].count("create-table") == 2


def test_start_inside_a_transaction_and_across_instances(mssqld):
    """Behind the second of four rows; and before a table's second instance took over from its first."""
    make_database(mssqld, [TABLE.format("a")], ["a"])
    with source.connect(mssqld, "shop") as c:
        put(c, "a", 1)
        source.execute(c, "INSERT INTO dbo.a (id, v) VALUES (2, N'x'), (3, N'x'), (4, N'x'), (5, N'x')")
        put(c, "a", 6)
        records = sorted(source.change_positions(c, "dbo_a"))
        source.execute(c, "ALTER TABLE dbo.a ADD w int NULL")
        source.execute(c, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'a', "
                          "@capture_instance = N'dbo_a_2', @role_name = NULL")
        source.execute(c, "INSERT INTO dbo.a (id, v, w) VALUES (7, N'x', 7)")
    for start, wanted in [(records[2], [4, 5, 6, 7]), ("earliest", [1, 2, 3, 4, 5, 6, 7])]:
        with cdc(mssqld, start) as p:
            p.capture.start()
            wait_until(lambda: len(ids(p)) >= len(wanted), 20, "the changes")
            assert ids(p) == wanted
            assert [len(c.after) for c in dump(p) if c.operation == "insert"] == [2] * (len(wanted) - 1) + [3]
            assert p.capture.stop() == 0
            p.capture.start()
            wait_until(lambda: p.capture.log_text().count("source-connected") == 2, 20, "the second start")
            assert p.capture.stop() == 0
            assert ids(p) == wanted


def test_transaction_begun_before_the_start_is_delivered(shop):
    """The log is read in the order of commits: what was open at the start counts whole."""
    with source.connect(shop, "shop") as c, source.connect(shop, "shop") as other:
        source.execute(c, "BEGIN TRANSACTION")
        put(c, "a", 100)
        pause_clock()
        start = source_utc(shop)
        pause_clock()
        source.execute(c, "COMMIT")
        put(other, "a", 101)
    with cdc(shop, iso(start)) as p:
        p.capture.start()
        wait_until(lambda: 101 in ids(p), 20, "the changes")
        assert [i for i in ids(p) if i >= 100] == [100, 101]
        assert 6 not in ids(p)


# ---- stops -----------------------------------------------------------------------------


def task_with_stream(server, kinesisd, stop=None, **more):
    p = Pipeline(server, kinesisd, database="shop", tables=("dbo.a",), **more)
    if stop is not None:
        p.task["CdcStopPosition"] = stop
        p.write_task()
    return p


def stream_ids(reader):
    reader.poll()
    return [r.data["id"] for r in reader.records if r.is_data]


def keep_inserting(server, stop, first, failures):
    try:
        with source.connect(server, "shop") as c:
            key = first
            while not stop.is_set():
                put(c, "a", key)
                key += 1
    except Exception as e:  # told by the test's own thread
        failures.append(e)


@pytest.fixture
def idle_shop():
    """One table, one row; the log goes on by itself while nothing changes."""
    with start_elsewhere(Mssqld(options=["--dummy-row-ms", "300"])) as server:
        make_database(server, [TABLE.format("a")], ["a"])
        with source.connect(server, "shop") as c:
            put(c, "a", 1)
        yield server


@pytest.mark.parametrize("kind", ["commit_time", "server_time", "LSN"])
def test_stop_under_load_is_exact(idle_shop, kinesisd, kind):
    """All that is committed up to the stop is delivered, nothing behind it; and then it has ended."""
    over = threading.Event()
    failures = []
    with source.connect(idle_shop, "shop") as c:
        moment = source.query(c, "SELECT SYSUTCDATETIME()")[0][0] + datetime.timedelta(seconds=1)
        text = f"{kind}:{iso(moment)}"
        if kind == "LSN":
            for key in range(2, 40):
                put(c, "a", key)
            text = lsn_of(c, "a", 30)
        writer = threading.Thread(target=keep_inserting, args=(idle_shop, over, 1000, failures))
        with task_with_stream(idle_shop, kinesisd, text, migration="cdc", encoders=2,
                              shippers=2) as p:
            p.task["CdcStartPosition"] = "earliest"
            p.write_task()
            writer.start()
            try:
                p.start()
                assert p.capture.wait(30) == 0, p.logs()
            finally:
                over.set()
                writer.join()
            assert not failures
            reader = StreamReader(kinesisd.client(), "invoices")
            delivered = stream_ids(reader)  # what is not acknowledged by now is missing
            when = dict(commits(c))
            rows = [(key, source.lsn_text(lsn)) for key, lsn in
                    source.query(c, "SELECT id, [__$start_lsn] FROM cdc.[dbo_a_CT]")]
            wanted = [key for key, lsn in rows
                      if (lsn <= text if kind == "LSN" else iso(when[lsn]) <= iso(moment))]
            assert sorted(delivered) == sorted(wanted)
            assert len(rows) > len(wanted)
            assert "task-ends" in p.capture.log_text()


def test_idle_source_stops_stays_ended_and_goes_on(idle_shop, kinesisd):
    with source.connect(idle_shop, "shop") as c:
        moment = source.query(c, "SELECT SYSUTCDATETIME()")[0][0] + datetime.timedelta(seconds=1)
    with task_with_stream(idle_shop, kinesisd, f"server_time:{iso(moment)}") as p:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        assert p.capture.wait(30) == 0, p.logs()
        assert stream_ids(reader) == [1]
        assert all(s.running for s in p.stages[1:])
        assert "ended at CdcStopPosition server_time:" in p.weirctl("positions", p.task_file).stdout
        with source.connect(idle_shop, "shop") as c:
            put(c, "a", 2)
        # A supervisor or an operator that starts it again is told, and nothing moves.
        p.capture.start()
        assert p.capture.wait() == 0
        assert "task-has-ended" in p.capture.log_text() and "weirctl resume" in p.capture.log_text()
        assert stream_ids(reader) == [1]
        # Another stop lets it go on, up to there.
        with source.connect(idle_shop, "shop") as c:
            p.task["CdcStopPosition"] = lsn_of(c, "a", 2)
            put(c, "a", 3)
        p.write_task()
        p.capture.start()
        assert p.capture.wait(30) == 0, p.logs()
        assert stream_ids(reader) == [1, 2]
        del p.task["CdcStopPosition"]
        p.write_task()
        p.capture.start()
        reader.wait(lambda rs: [r.data["id"] for r in rs if r.is_data] == [1, 2, 3], 30, "all of it")
        assert p.capture.stop() == 0


def test_stop_waits_for_the_shippers(idle_shop, kinesisd):
    """Not ended before everything is acknowledged: without a shipper it waits, and can be stopped."""
    with source.connect(idle_shop, "shop") as c:
        put(c, "a", 2)
        stop = lsn_of(c, "a", 2)
    with task_with_stream(idle_shop, kinesisd, stop, migration="cdc") as p:
        p.task["CdcStartPosition"] = "earliest"
        p.write_task()
        capture, encoder, shipper = p.stages
        capture.start()
        encoder.start()
        wait_until(lambda: "stop-reached" in capture.log_text(), 30, "the stop")
        time.sleep(0.3)
        assert capture.running and not (p.state / "ended.json").exists()
        assert capture.stop() == 0
        assert not (p.state / "ended.json").exists()
        capture.start()
        shipper.start()
        assert capture.wait(30) == 0, p.logs()
        assert (p.state / "ended.json").exists()
        assert stream_ids(StreamReader(kinesisd.client(), "invoices")) == [1, 2]


# ---- modes of starting -------------------------------------------------------------------


def test_reload_of_a_task_while_encoder_and_shipper_run(idle_shop, kinesisd):
    """Everything once more, by processes that find the new rings by themselves."""
    with source.connect(idle_shop, "shop") as c:
        put(c, "a", *range(2, 21))
        with task_with_stream(idle_shop, kinesisd, encoders=2, shippers=2) as p:
            reader = StreamReader(kinesisd.client(), "invoices")
            p.start()
            reader.wait(lambda rs: sum(r.is_load for r in rs) == 20, 30, "the load")
            put(c, "a", 21)
            reader.wait(lambda rs: rs[-1].is_data and 21 in [r.data["id"] for r in rs if r.is_data], 30, "the log")
            answer = p.weirctl("reload", p.task_file)
            assert answer.returncode == 1 and "runs" in answer.stderr and "stop its capture" in answer.stderr
            assert not (p.state / "requests").exists()
            assert p.capture.stop() == 0
            answer = p.weirctl("reload", p.task_file, "--wait", "1")
            assert answer.returncode == 1 and "capture does not run" in answer.stderr, answer
            source.execute(c, "DELETE FROM dbo.a WHERE id = 1")
            p.capture.start()

            def loaded_again(records):
                p.restart_dead()
                return sum(r.is_load for r in records) == 40
            reader.wait(loaded_again, 30, "the second load")
            put(c, "a", 22)
            reader.wait(lambda rs: any(r.is_data and r.data["id"] == 22 for r in rs), 30, "the log")
            again = [r for r in reader.records if r.is_load][20:]
            assert sorted(r.data["id"] for r in again) == list(range(2, 22))
            assert p.table_statistics()["TableStatistics"][0]["FullLoadRows"] == 20
            assert (p.state / "before.2" / "capture.json").exists()
            assert [f.name for f in (p.state / "requests").iterdir()][0].endswith(".done")
            assert "begins-anew" in p.capture.log_text()


def test_start_from_and_resume_by_command(shop):
    with cdc(shop, "now") as p:
        answer = p.weirctl("start", p.task_file)
        assert answer.returncode == 2 and "--from POSITION" in answer.stderr
        answer = p.weirctl("start", p.task_file, "--from", "yesterday")
        assert answer.returncode == 1 and "is none of now, earliest" in answer.stderr
        answer = p.weirctl("start", p.task_file, "--from", "00000001:00000001:0001")
        assert answer.returncode == 1 and "lies before what the source still has" in answer.stderr
        assert not (p.state / "requests").exists()
        p.capture.start()
        wait_until(lambda: [c.operation for c in dump(p)].count("create-table") == 2, 20, "the start")
        assert p.weirctl("start", p.task_file, "--from", "earliest").returncode == 1
        assert p.capture.stop() == 0
        answer = p.weirctl("start", p.task_file, "--from", shop.lsns[3])
        assert answer.returncode == 0 and "begins anew at" in answer.stdout, answer
        p.task["CdcStopPosition"] = shop.lsns[4]
        p.write_task()
        assert p.weirctl("resume", p.task_file).stdout.startswith("task e2e has not ended")
        p.capture.start()
        wait_until(lambda: len(ids(p, generation=2)) >= 2, 20, "the new generation")
        assert ids(p, generation=2) == [3, 4]
        answer = p.weirctl("reload", p.task_file)
        assert answer.returncode == 1 and "loads nothing" in answer.stderr


def test_resume_behind_the_stop(idle_shop, kinesisd):
    with source.connect(idle_shop, "shop") as c:
        stop = lsn_of(c, "a", 1)
        put(c, "a", 2)
        with task_with_stream(idle_shop, kinesisd, stop, migration="cdc") as p:
            p.task["CdcStartPosition"] = "earliest"
            p.write_task()
            reader = StreamReader(kinesisd.client(), "invoices")
            p.start()
            assert p.capture.wait(30) == 0, p.logs()
            assert stream_ids(reader) == [1]
            answer = p.weirctl("resume", p.task_file)
            assert answer.returncode == 0 and "asked: resume" in answer.stdout
            p.capture.start()
            reader.wait(lambda rs: [r.data["id"] for r in rs if r.is_data] == [1, 2], 30, "the rest")
            assert p.capture.stop() == 0
            p.capture.start()  # and again: it has left that stop behind for good
            put(c, "a", 3)
            reader.wait(lambda rs: [r.data["id"] for r in rs if r.is_data] == [1, 2, 3], 30, "the rest")


def test_positions_can_be_copied(idle_shop, kinesisd):
    """What `weirctl positions` prints begins exactly there."""
    with source.connect(idle_shop, "shop") as c:
        with task_with_stream(idle_shop, kinesisd) as p:
            answer = p.weirctl("positions", p.task_file)
            assert answer.returncode == 0 and "it has no position yet" in answer.stdout, answer
            assert "dbo.a" in answer.stdout and "newest change" in answer.stdout
            reader = StreamReader(kinesisd.client(), "invoices")
            p.start()
            put(c, "a", 2)
            reader.wait(lambda rs: any(r.is_data and r.data["id"] == 2 for r in rs), 30, "the log")

            def safe():
                answer = json.loads(p.weirctl("positions", p.task_file, "--json").stdout)
                return answer if answer.get("Safe") and answer["Safe"]["Lsn"] >= lsn_of(c, "a", 2) else None
            seen = wait_until(safe, 30, "the checkpoint")
            assert p.stop() == {"weir-capture": 0, "weir-encoder.0": 0, "weir-shipper.0": 0}
        put(c, "a", 3)
        text = seen["Safe"]["StreamPosition"]
        assert seen["Source"]["Tables"][0]["Table"] == "dbo.a"
        for start, wanted in [(text, [3]), (seen["Source"]["Tables"][0]["From"], [1, 2, 3])]:
            with Pipeline(idle_shop, None, database="shop", tables=("dbo.a",), migration="cdc") as p:
                p.task["CdcStartPosition"] = start
                p.write_task()
                p.capture.start()
                wait_until(lambda: len(ids(p)) >= len(wanted), 20, "the changes")
                assert ids(p) == wanted


@pytest.mark.parametrize("content", ["", "{\"format\": 1}", "x" * 2000000])
def test_damaged_request_stops_nobody(shop, content):
    with cdc(shop, shop.lsns[6]) as p:
        folder = p.state / "requests"
        folder.mkdir(parents=True)
        (folder / "1.json").write_text(content)
        p.capture.start()
        wait_until(lambda: len(ids(p)) >= 2, 20, "the changes")
        assert [f.name for f in folder.iterdir()] == ["1.refused"]
        assert "request-refused" in p.capture.log_text()


# ---- single tables -----------------------------------------------------------------------


def judged(server, reader, table):
    """The stream's last word on every row is the row."""
    with source.connect(server, "shop") as c:
        return judge(reader.records, f"dbo.{table}", ("id",), source.rows(c, f"dbo.{table}"), [])


def change_both(server, stop, failures):
    try:
        with source.connect(server, "shop") as c:
            key = 1000
            while not stop.is_set():
                put(c, "a", key)
                put(c, "b", key)
                source.execute(c, f"UPDATE dbo.a SET v = N'{key}' WHERE id = {key % 50}")
                source.execute(c, f"DELETE FROM dbo.b WHERE id = {key - 7}")
                key += 1
                stop.wait(0.005)  # as fast as a shop, not as fast as a loop
    except Exception as e:  # told by the test's own thread
        failures.append(e)


@pytest.fixture
def two_tables():
    with Mssqld() as server:
        make_database(server, [TABLE.format("a"), TABLE.format("b")], ["a", "b"])
        with source.connect(server, "shop") as c:
            for table in ("a", "b"):
                put(c, table, *range(50))
        yield server


def count_loads(reader, table):
    reader.poll()
    return sum(r.is_load and r.table == f"dbo.{table}" for r in reader.records)


DEATHS = ["capture.reload-asked:1", "request.before-done:1", "request.done:1", "capture.reload-begins:1",
          "capture.chunk-read:1"]


def test_reload_of_a_table_while_both_change(two_tables, fast_kinesisd):  # noqa: F811
    """Asked of a living capture, and of one that dies at each step of carrying it out."""
    over = threading.Event()
    failures = []
    with Pipeline(two_tables, fast_kinesisd, database="shop", tables=("dbo.%",), encoders=2, shippers=2,
                  weir={"LoadChunkRows": 10}) as p:
        for stage in p.stages:
            stage.program = f"../test/{stage.program}"
        reader = StreamReader(fast_kinesisd.client(), "invoices")
        p.start()
        reader.wait(lambda rs: sum(r.is_load for r in rs) >= 100, 30, "the load")
        writer = threading.Thread(target=change_both, args=(two_tables, over, failures))
        writer.start()
        try:
            answer = p.weirctl("reload", p.task_file, "--table", "dbo.a", "--wait", "30")
            assert answer.returncode == 0 and answer.stdout.endswith("done\n"), answer
            wait_until(lambda: count_loads(reader, "a") >= 100, 40, "the second load")
            for point in DEATHS:
                before = count_loads(reader, "a")
                p.capture.kill()
                answer = p.weirctl("reload", p.task_file, "--table", "dbo.a")
                assert answer.returncode == 0, answer
                p.environment["WEIR_CRASH"] = point
                p.capture.start()
                del p.environment["WEIR_CRASH"]
                assert p.capture.wait(20) == -9, (point, p.capture.log_text()[-2000:])
                p.restart_dead()
                wait_until(lambda: count_loads(reader, "a") >= before + 50, 40, f"the load after {point}")
        finally:
            over.set()
            writer.join()
        assert not failures
        wait_until(lambda: reader.poll() == [] and judged(two_tables, reader, "a").good
                   and judged(two_tables, reader, "b").good, 30, "all of it")
        assert count_loads(reader, "b") == 50
        assert not list((p.state / "requests").glob("*.json"))
        answer = p.weirctl("reload", p.task_file, "--table", "dbo.c", "--wait", "30")
        assert answer.returncode == 1 and "the task has no table dbo.c" in answer.stderr, answer
        assert p.weirctl("reload", p.task_file, "--table", "c").returncode == 2
        assert p.capture.running


def test_cleaned_table_comes_back_by_command(two_tables, kinesisd):
    with Pipeline(two_tables, kinesisd, database="shop", tables=("dbo.%",)) as p:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        reader.wait(lambda rs: sum(r.is_load for r in rs) >= 100, 30, "the load")
        assert p.capture.stop() == 0
        with source.connect(two_tables, "shop") as c:
            put(c, "a", 100, 101)
            put(c, "b", 100)
            source.execute(c, "EXEC sys.sp_cdc_cleanup_change_table @capture_instance = N'dbo_a', "
                              f"@low_water_mark = 0x{lsn_of(c, 'a', 101).replace(':', '')}, @threshold = 5000")
            source.execute(c, "DELETE FROM dbo.a WHERE id = 3")
        p.capture.start()
        reader.wait(lambda rs: any(r.table == "dbo.b" and r.data.get("id") == 100 for r in rs), 30, "the other table")
        wait_until(lambda: "table-suspended" in p.capture.log_text(), 30, "the suspension")
        assert "weirctl reload TASK --table" in p.capture.log_text()
        with source.connect(two_tables, "shop") as c:
            put(c, "a", 102)
            put(c, "b", 102)
        answer = p.weirctl("reload", p.task_file, "--table", "dbo.a", "--wait", "30")
        assert answer.returncode == 0, answer
        with source.connect(two_tables, "shop") as c:
            put(c, "a", 103)
        reader.wait(lambda rs: any(r.table == "dbo.a" and r.data.get("id") == 103 for r in rs), 30, "the table is back")
        assert judged(two_tables, reader, "b").good
        loaded = {r.data["id"] for r in reader.records if r.is_load and r.table == "dbo.a"}
        assert {100, 101, 102} <= loaded
