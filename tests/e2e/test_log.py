"""Following the log, weir-capture alone against mssqld: what lies in the change rings."""

import json
import pathlib
import random
import re
import subprocess
import time

import pytest

import source
from pipeline import ROOT, Pipeline, wait_until
from tds_count import CountingRelay
from test_capture import dump, enable, make_database, wait_for

SEED = 20261122


def capture_statistics(p):
    status = json.loads(p.weirctl("status", p.task_file, "--json").stdout)
    return next(s for s in status["stages"] if s["name"] == "capture")


def counter(p, name):
    return capture_statistics(p).get("counters", {}).get(name, {"value": 0})["value"]


def changes_of(p):
    return [c for c in dump(p) if c.operation in ("insert", "update", "delete")]


def started(p):
    """A task whose tables are announced: what comes now comes from the log."""
    p.capture.start()
    wait_until(lambda: any(c.operation == "create-table" for c in dump(p)), 30, "the tables")
    return p


def die_at(p, point, count):
    """One life of capture, which ends when it comes to a crash point for the count-th time."""
    p.environment["WEIR_CRASH"] = f"{point}:{count}"
    p.capture.start()
    del p.environment["WEIR_CRASH"]


def test_killed_inside_one_transaction(mssqld):
    """Rows of two tables change in one transaction while capture dies again and again: no row twice,
    none missing, numbers as if nothing had happened, and nothing read a second time."""
    make_database(mssqld, ["CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY, v nvarchar(20))",
                           "CREATE TABLE dbo.b (id int NOT NULL PRIMARY KEY, v nvarchar(20))"], ["a", "b"])
    rng = random.Random(SEED)
    rows = 1000
    with Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc",
                  weir={"ChangeRingSize": "16MiB"}) as p:
        p.capture.build = ROOT / "build/test"
        started(p)
        p.capture.kill()
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "BEGIN TRANSACTION")
            for t in "ab":
                for start in range(0, rows, 500):
                    source.execute(c, f"INSERT INTO dbo.{t} VALUES " + ", ".join(
                        f"({i}, N'x{i}')" for i in range(start, start + 500)))
            n = 2 * rows
            for _ in range(3):
                source.execute(c, f"INSERT INTO dbo.a SELECT id + {n}, v FROM dbo.a")
                source.execute(c, "UPDATE dbo.b SET v = v + N'y'")
                n *= 2
            source.execute(c, f"DELETE FROM dbo.a WHERE id >= {rows}")
            source.execute(c, "COMMIT")
        expected = 2 * rows + 7 * rows + 3 * rows + 7 * rows
        for _ in range(8):
            die_at(p, rng.choice(["capture.published", "capture.before-publish"]), rng.randint(2, 9))
            assert p.capture.wait() == -9
        given = changes_of(p)
        assert 2000 < len(given) < expected - 2000
        p.capture.start()
        changes = wait_for(p, expected)
        assert len(changes) == expected
        assert counter(p, "skipped") == 0
        assert counter(p, "rows_in") == expected - len(given)
        assert [c.number for c in changes] == list(range(1, expected + 1))
        positions = [c.position for c in changes]
        assert positions == sorted(set(positions))
        assert len({c.transaction for c in changes}) == 1
        assert p.capture.stop() == 0


def deferred_work(c, rows):
    """One transaction of deferred updates that keep their key and of some that move it."""
    source.execute(c, "BEGIN TRANSACTION")
    source.execute(c, f"UPDATE dbo.t SET u = u + {10 * rows}, v = N'twice'")  # keys stay
    source.execute(c, f"UPDATE dbo.t SET id = id + 1 WHERE id > {rows - 50}")  # keys move along a chain
    source.execute(c, f"UPDATE dbo.t SET u = u + {10 * rows} WHERE id = 3")
    source.execute(c, "UPDATE dbo.t SET v = N'plain' WHERE id = 4")
    source.execute(c, "DELETE FROM dbo.t WHERE id = 5")
    source.execute(c, "INSERT INTO dbo.t VALUES (5, 5, N'again')")  # two statements: no update
    source.execute(c, f"UPDATE dbo.t SET u = u + {10 * rows} WHERE id < {rows // 2}")
    source.execute(c, "COMMIT")


def told(changes):
    return [(c.operation, c.number, c.position, c.before, c.after) for c in changes]


def fold(rows, changes):
    """What a consumer has who applies changes by key, in order."""
    state = dict(rows)
    for c in changes:
        if c.operation == "delete":
            assert state.pop(c.before[0]) == c.before
            continue
        if c.operation == "update":
            assert state[c.before[0]] == c.before and c.before[0] == c.after[0]
        else:
            assert c.after[0] not in state
        state[c.after[0]] = c.after
    return state


@pytest.mark.parametrize("merge", [False, True])
def test_deferred_updates_over_deaths_and_pages(mssqld, merge):
    """Merged or not, the stream is the same, event for event, wherever capture dies, and right."""
    rows = 3000
    make_database(mssqld, ["CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, u int NOT NULL UNIQUE, "
                           "v nvarchar(20))"])
    rng = random.Random(SEED)
    with source.connect(mssqld, "shop") as c:
        for start in range(1, rows + 1, 500):
            source.execute(c, "INSERT INTO dbo.t VALUES " + ", ".join(
                f"({i}, {i}, N'once')" for i in range(start, start + 500)))
        enable(c, "t")

        def task():
            return Pipeline(mssqld, None, database="shop", tables=("dbo.t",), migration="cdc",
                            weir={"ChangeRingSize": "16MiB", "MergeDeferredUpdates": merge})

        with task() as calm, task() as p:
            for q in (calm, p):
                started(q)
                q.capture.kill()
            before = {str(i): [str(i), str(i), "once"] for i in range(1, rows + 1)}
            deferred_work(c, rows)
            calm.capture.start()
            wait_until(lambda: changes_of(calm) and dump(calm)[-1].is_watermark, 30, "the end")
            expected = changes_of(calm)
            p.capture.build = ROOT / "build/test"
            for _ in range(6):
                die_at(p, "capture.published", rng.randint(1, 4))
                assert p.capture.wait() == -9
            assert 500 < len(changes_of(p)) < len(expected) - 500
            p.capture.start()
            changes = wait_for(p, len(expected))
            assert told(changes) == told(expected)
            now = {str(i): [str(i), str(u), v]
                   for i, u, v in source.query(c, "SELECT id, u, v FROM dbo.t")}
            assert fold(before, changes) == now
            counts = {o: sum(x.operation == o for x in changes) for o in ("insert", "update", "delete")}
            merged = rows + 1 + rows // 2 - 1
            assert counts == ({"insert": 51, "delete": 51, "update": merged + 1} if merge else
                              {"insert": merged + 51, "delete": merged + 51, "update": 1})
            numbers = [x.number for x in changes]
            assert numbers == sorted(set(numbers))
            assert calm.capture.stop() == 0 and p.capture.stop() == 0


def test_deferred_updates_stay_as_they_are(mssqld):
    """Without the setting the stream is what the change table is: deletes, then inserts."""
    make_database(mssqld, ["CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, u int NOT NULL UNIQUE)"], ["t"])
    with Pipeline(mssqld, None, database="shop", tables=("dbo.t",), migration="cdc") as p:
        started(p)
        with source.connect(mssqld, "shop") as c:
            source.execute(c, "INSERT INTO dbo.t VALUES (1, 1), (2, 2)")
            source.execute(c, "UPDATE dbo.t SET u = u + 10")
        assert [(x.operation, (x.after or x.before)) for x in wait_for(p, 6)[2:]] == [
            ("delete", ["1", "1"]), ("delete", ["2", "2"]), ("insert", ["1", "11"]), ("insert", ["2", "12"])]
        assert p.capture.stop() == 0


LARGE = ("big", "blob", "old")


def update_as_in_row(c, assignment, where="1 = 1", changed=()):
    """An update whose second row holds no unchanged large value, as the log of a row that stores
    them elsewhere: the test server writes them, so its rows are replaced."""
    source.execute(c, f"UPDATE dbo.t SET {assignment} WHERE {where}")
    small = "a, b, " + ", ".join(f"c{i}" for i in range(1, 19))
    large = ", ".join(n if n in changed else "NULL" for n in LARGE)
    latest = "[__$start_lsn] = (SELECT MAX(m.start_lsn) FROM cdc.lsn_time_mapping AS m)"
    source.execute(c, "INSERT INTO cdc.dbo_t_CT SELECT [__$start_lsn], NULL, [__$seqval], [__$operation], "
                      f"[__$update_mask], {small}, {large}, [__$command_id] + 1000 FROM cdc.dbo_t_CT "
                      f"WHERE {latest}")
    source.execute(c, f"DELETE FROM cdc.dbo_t_CT WHERE {latest} AND [__$command_id] < 1000")


def test_values_the_log_left_out(mssqld):
    """Unavailable is neither NULL nor lost: marked by default, read from the table when asked."""
    columns = ", ".join(f"c{i} int" for i in range(1, 19))
    make_database(mssqld, [f"CREATE TABLE dbo.t (a nvarchar(20) NOT NULL, b int NOT NULL, {columns}, "
                           "big nvarchar(max), blob varbinary(max), old ntext, PRIMARY KEY (a, b))"], ["t"])
    with source.connect(mssqld, "shop") as c, \
            Pipeline(mssqld, None, database="shop", tables=("dbo.t",), migration="cdc") as marked, \
            Pipeline(mssqld, None, database="shop", tables=("dbo.t",), migration="cdc",
                     weir={"RereadUnavailable": True}) as p:
        for q in (marked, p):
            started(q)
            q.capture.kill()
        source.execute(c, "INSERT INTO dbo.t (a, b, big, blob, old) VALUES " + ", ".join(
            f"(N'k''{i}', {i}, N'text {i}', 0x{i:04X}, N'old')" for i in range(1, 101)))
        update_as_in_row(c, "c18 = 7")
        update_as_in_row(c, "big = NULL", "b = 2", ["big"])  # a real NULL
        update_as_in_row(c, "big = N'newer'", "b = 3", ["big"])
        update_as_in_row(c, "big = N'newest'", "b = 3", ["big"])
        source.execute(c, "DELETE FROM dbo.t WHERE b = 4")
        for q in (marked, p):
            q.capture.start()
        log, fresh = wait_for(marked, 204)[100:], wait_for(p, 204)[100:]
        assert [told([x])[0][:3] for x in log] == [told([x])[0][:3] for x in fresh]
        assert all(x.after[-3:] == ["?", "?", "?"] for x in log[:100])
        assert [x.after[-3:] for x in fresh[:100]] == [
            [None if i == 2 else "newest" if i == 3 else f"text {i}", f"{i:04x}", "old"] if i != 4
            else ["?", "?", "?"] for i in range(1, 101)]
        assert log[100].after[-3:] == [None, "?", "?"]
        assert fresh[100].after[-3:] == [None, "0002", "old"]
        assert log[101].after[-3:] == ["newer", "?", "?"]
        assert fresh[101].after[-3:] == ["newer", "0003", "old"]
        assert all(x.before[-3:] == ["?", "?", "?"] for x in fresh[:100])  # only the log had them
        assert marked.capture.stop() == 0 and p.capture.stop() == 0


def test_many_tables_cost_one_round_trip(mssqld):
    """Idle: one message a look, and no line in the log.  A commit: the look, one probe over all tables,
    a page, the low-water mark; never a message a table, never a transaction that would hold up the
    cleanup job.  (A thousand tables are in tests/bench/capture.py.)"""
    tables = 300
    make_database(mssqld, [f"CREATE TABLE dbo.t{i} (id int NOT NULL PRIMARY KEY)" for i in range(tables)],
                  [f"t{i}" for i in range(tables)])
    with CountingRelay(mssqld.port) as relay, \
            Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc",
                     source={"Port": relay.port}, weir={"PollIntervalMs": 20}) as p:
        p.capture.start()

        def polls():
            return counter(p, "polls")

        def idle_since():
            """Messages and polls at a moment at which nothing is under way but, maybe, one poll."""
            while True:
                before, messages, after = polls(), relay.messages, polls()
                if before == after:
                    return messages, after

        wait_until(lambda: polls() > 20, 60, "a quiet log")
        messages, looks = idle_since()
        log = p.capture.log_text()
        wait_until(lambda: polls() > looks + 50, 30, "fifty looks")
        assert p.capture.log_text() == log
        later, looks_later = idle_since()
        # One a look, and now and then (by time, not by table) a question about the capture job.
        assert later - messages <= 1.2 * (looks_later - looks) + 5
        commits = 10
        with source.connect(mssqld, "shop") as c:
            for i in range(commits):
                source.execute(c, f"INSERT INTO dbo.t{30 * i} VALUES ({i})")
                wait_until(lambda: len(changes_of(p)) == i + 1, 30, "the change")
        end, looks_end = idle_since()
        assert end - later <= 1.2 * (looks_end - looks_later) + 3 * commits + 5
        assert 30_000 < relay.largest < 120_000  # all probes in one batch
        assert not any("TRAN".encode("utf-16le") in text for text in relay.texts)
        assert p.capture.stop() == 0


def test_commit_times_are_utc_whatever_the_servers_zone(mssqld):
    make_database(mssqld, ["CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY)"], ["t"])
    with source.connect(mssqld, "shop") as c, \
            Pipeline(mssqld, None, database="shop", tables=("dbo.t",), migration="cdc") as p:
        started(p)
        for i, minutes in enumerate([0, 330, -480, 120, 60]):  # the last: the clocks go back
            source.execute(c, f"EXEC mssqld.zone {minutes}")
            before = time.time_ns()
            source.execute(c, f"INSERT INTO dbo.t VALUES ({i})")
            after = time.time_ns()
            change = wait_for(p, i + 1)[i]
            assert before - 4_000_000 <= change.commit_ns <= after + 4_000_000, minutes
        assert p.capture.stop() == 0


@pytest.mark.parametrize("rows, text, large", [(128_000, "N'" + 400 * "x" + "'", 0), (16_000, "N'x'", 800)])
def test_memory_does_not_grow_with_a_transaction(mssqld, rows, text, large):
    """The short form of the bench capture.rss: numbered rows, a death in the middle; and rows that are
    suddenly ten thousand times as large as those before."""
    make_database(mssqld, ["CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v nvarchar(max))"], ["t"])
    with Pipeline(mssqld, None, database="shop", tables=("dbo.t",), migration="cdc") as p:
        p.capture.start()
        wait_until(lambda: any(c.is_watermark for c in dump(p)), 30, "the start")
        p.capture.kill()
        with source.connect(mssqld, "shop", timeout=60) as c:
            source.execute(c, "BEGIN TRANSACTION")
            source.execute(c, "INSERT INTO dbo.t VALUES " + ", ".join(f"({i}, {text})" for i in range(1000)))
            n = 1000
            while n < rows:
                source.execute(c, f"INSERT INTO dbo.t SELECT id + {n}, v FROM dbo.t")
                n *= 2
            source.execute(c, f"INSERT INTO dbo.t SELECT id + {n}, REPLICATE(CONVERT(nvarchar(max), N'y'), 60000) "
                              f"FROM dbo.t WHERE id < {large}")
            source.execute(c, "COMMIT")
        p.capture.start()
        drain = subprocess.Popen([ROOT / "build/test/tests/bench/capture_drain", "numbers",
                                  p.runtime / "g1/change.0.ring", str(rows + large + 1)],
                                 stdout=subprocess.PIPE)
        sizes, deaths = [], 0
        while drain.poll() is None:
            status = pathlib.Path(f"/proc/{p.capture.process.pid}/status").read_text()
            sizes.append(sum(int(v) for v in re.findall(r"Rss(?:Anon|File):\s+(\d+) kB", status)))
            if deaths == 0 and counter(p, "rows_in") > rows / 4:
                p.capture.kill()
                p.capture.start()
                deaths = 1
        assert drain.wait() == 0 and deaths == 1
        assert max(sizes) < 32 << 10
        assert p.capture.stop() == 0


# ---- the function ----------------------------------------------------------------------


READER = "reader"


def grant_the_function_only(mssqld, gated=("f",), direct=("d",)):
    """A login that may read dbo.f's changes by its gating role only, and dbo.d's change table."""
    with source.connect(mssqld, "shop") as c:
        source.execute(c, f"CREATE LOGIN {READER} WITH PASSWORD = N'{mssqld.sa_password}'")
        source.execute(c, f"CREATE USER {READER} FOR LOGIN {READER}")
        for t in gated:
            source.execute(c, "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', "
                              f"@source_name = N'{t}', @role_name = N'gate'")
        source.execute(c, f"ALTER ROLE gate ADD MEMBER {READER}")
        for t in direct:
            enable(c, t)
        readable = ["dbo." + t for t in (*gated, *direct)] + [f"cdc.dbo_{t}_CT" for t in direct] + [
            "cdc." + t for t in ("change_tables", "captured_columns", "index_columns", "lsn_time_mapping",
                                 "ddl_history")]
        for name in readable:
            source.execute(c, f"GRANT SELECT ON {name} TO {READER}")


def reader_task(mssqld, **weir):
    return Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc",
                    source={"Username": READER}, weir={"ChangeRingSize": "16MiB", **weir})


FUNCTION_TABLES = ["CREATE TABLE dbo.f (id int NOT NULL PRIMARY KEY, u int NOT NULL UNIQUE, v nvarchar(20))",
                   "CREATE TABLE dbo.d (id int NOT NULL PRIMARY KEY)"]


def lack_rights(mssqld):
    grant_the_function_only(mssqld)
    return {"Username": READER}


def lack_command_id(mssqld, mode=0):
    """dbo.f's change table is one of a server before KB3030352; mode 2: before and after an update."""
    with source.connect(mssqld, "shop") as c:
        source.execute(c, f"EXEC mssqld.command_id {mode}")
        enable(c, "f")
        if mode == 0:
            source.execute(c, "EXEC mssqld.command_id 1")
            enable(c, "d")
    return {}


def have_null_command_ids(mssqld):
    with source.connect(mssqld, "shop") as c:
        enable(c, "d")
    return lack_command_id(mssqld, 2)


@pytest.mark.parametrize("lack", [lack_rights, lack_command_id, have_null_command_ids])
@pytest.mark.parametrize("merge", [False, True])
def test_rows_without_a_command_id(mssqld, lack, merge):
    """By the function or with NULLs, deferred updates among them: the same events in the same order
    whatever dies, in front of the rows of their transaction that have a command id."""
    rows = 1500
    make_database(mssqld, FUNCTION_TABLES)
    endpoint = lack(mssqld)
    rng = random.Random(SEED)

    def task():
        return Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc", source=endpoint,
                        weir={"ChangeRingSize": "16MiB", "MergeDeferredUpdates": merge})

    with source.connect(mssqld, "shop") as c, task() as calm, task() as p:
        for q in (calm, p):
            started(q)
            q.capture.kill()
        source.execute(c, "BEGIN TRANSACTION")
        for start in range(1, rows + 1, 500):
            many = range(start, start + 500)
            source.execute(c, "INSERT INTO dbo.d VALUES " + ", ".join(f"({i})" for i in many))
            source.execute(c, "INSERT INTO dbo.f VALUES " + ", ".join(f"({i}, {i}, N'once')" for i in many))
        source.execute(c, f"UPDATE dbo.f SET u = u + {10 * rows}")
        source.execute(c, "UPDATE dbo.f SET v = N'plain' WHERE id % 2 = 0")
        source.execute(c, f"DELETE FROM dbo.f WHERE id > {rows - 100}")
        source.execute(c, "COMMIT")
        updates = rows if merge else 2 * rows
        total = rows + rows + updates + rows // 2 + 100
        calm.capture.start()
        expected = wait_for(calm, total)
        p.capture.build = ROOT / "build/test"
        for _ in range(6):
            die_at(p, "capture.published", rng.randint(1, 3))
            assert p.capture.wait() == -9
        assert 500 < len(changes_of(p)) < total - 500
        p.capture.start()
        changes = wait_for(p, total)
        assert told(changes) == told(expected)
        assert counter(p, "skipped") == 0
        positions = [x.position for x in changes]
        assert positions == sorted(set(positions))
        tables = [x.table for x in changes]
        assert tables == [tables[0]] * (total - rows) + [tables[-1]] * rows != tables[:1] * total
        if not merge:
            assert [x.number for x in changes] == list(range(1, total + 1))
        now = {str(i): [str(i), str(u), v] for i, u, v in source.query(c, "SELECT id, u, v FROM dbo.f")}
        assert fold({}, changes[:total - rows]) == now
        assert calm.capture.stop() == 0 and p.capture.stop() == 0


def test_function_that_refuses_is_an_error_not_silence(mssqld):
    make_database(mssqld, FUNCTION_TABLES)
    grant_the_function_only(mssqld)
    with source.connect(mssqld, "shop") as c, reader_task(mssqld) as p:
        started(p)
        source.execute(c, "INSERT INTO dbo.f VALUES (1, 1, N'x')")
        wait_for(p, 1)
        source.execute(c, f"ALTER ROLE gate DROP MEMBER {READER}")
        source.execute(c, "INSERT INTO dbo.f VALUES (2, 2, N'x')")
        assert p.capture.wait() == 78
        assert "access-denied" in p.capture.log_text() and "gating role" in p.capture.log_text()
        source.execute(c, f"ALTER ROLE gate ADD MEMBER {READER}")
        p.capture.start()
        assert [x.after[0] for x in wait_for(p, 2)] == ["1", "2"]
        assert p.capture.stop() == 0


def test_function_that_cleanup_overtook(mssqld):
    """Cleanup runs between the look and the function: 313, and the next look names the hole."""
    make_database(mssqld, FUNCTION_TABLES)
    lack_command_id(mssqld)
    with source.connect(mssqld, "shop") as c, \
            Pipeline(mssqld, None, database="shop", tables=("dbo.%",), migration="cdc") as p:
        started(p)
        p.capture.kill()
        for i in range(1, 4):
            source.execute(c, f"INSERT INTO dbo.f VALUES ({i}, {i}, N'x')")
        source.execute(c, "INSERT INTO dbo.d VALUES (1)")
        mark = "0x" + bytes(source.query(c, "SELECT MAX([__$start_lsn]) FROM cdc.dbo_f_CT")[0][0]).hex()
        source.execute(c, "EXEC mssqld.before_next @match = N'fn_cdc_get_all_changes_dbo_f', @sql = N'EXEC "
                          "sys.sp_cdc_cleanup_change_table @capture_instance = N''dbo_f'', "
                          f"@low_water_mark = {mark}, @threshold = 5000'")
        p.capture.start()
        assert [x.after for x in wait_for(p, 1)] == [["1"]]  # dbo.d goes on, dbo.f gives nothing
        text = p.capture.log_text()
        assert "message 313" in text and "dbo.f" in text and "lost" in text
        assert p.capture.stop() == 0


def test_rights_that_come_and_go_inside_a_transaction(mssqld):
    """Rows have other places by the function than in the change table: between the two is no going on,
    neither with a loss nor with repeats."""
    rows = 3000
    make_database(mssqld, FUNCTION_TABLES)
    grant_the_function_only(mssqld)
    rights = "SELECT ON cdc.dbo_f_CT"
    with source.connect(mssqld, "shop") as c, reader_task(mssqld) as p:
        source.execute(c, f"GRANT {rights} TO {READER}")
        started(p)
        p.capture.kill()
        p.capture.build = ROOT / "build/test"

        def transaction(first):
            source.execute(c, "BEGIN TRANSACTION")
            for start in range(first, first + rows, 500):
                source.execute(c, "INSERT INTO dbo.f VALUES " + ", ".join(
                    f"({i}, {i}, N'x')" for i in range(start, start + 500)))
            source.execute(c, "COMMIT")

        transaction(1)
        die_at(p, "capture.published", 3)
        assert p.capture.wait() == -9
        assert 0 < len(changes_of(p)) < rows
        source.execute(c, f"REVOKE {rights} FROM {READER}")
        p.capture.start()
        assert p.capture.wait() == 78
        assert "half read" in p.capture.log_text()
        source.execute(c, f"GRANT {rights} TO {READER}")
        p.capture.start()
        assert [x.number for x in wait_for(p, rows)] == list(range(1, rows + 1))
        assert p.capture.stop() == 0

        source.execute(c, f"REVOKE {rights} FROM {READER}")  # between transactions: the function
        transaction(rows + 1)
        die_at(p, "capture.published", 3)
        assert p.capture.wait() == -9
        assert rows < len(changes_of(p)) < 2 * rows
        source.execute(c, f"GRANT {rights} TO {READER}")
        p.capture.start()  # it goes on as it began
        wait_for(p, 2 * rows)
        wait_until(lambda: dump(p)[-1].is_watermark, 30, "the transaction's end")
        p.capture.kill()
        transaction(2 * rows + 1)  # and at the next one's beginning the change table takes over
        for point in ("sqlserver.way-before", "sqlserver.way-written"):
            die_at(p, point, 1)
            assert p.capture.wait() == -9
        p.capture.start()
        changes = wait_for(p, 3 * rows)
        assert [x.number for x in changes] == [*range(1, rows + 1)] * 3
        assert [int(x.after[0]) for x in changes] == [*range(1, 3 * rows + 1)]
        assert changes[2 * rows - 1].position.split(".")[1] == "7fffffff" < \
            changes[2 * rows].position.split(".")[1]
        assert p.capture.stop() == 0
