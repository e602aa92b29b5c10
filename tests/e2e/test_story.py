"""The reference story through the built programs, read back with boto3 and python-tds."""

import json

import pytest

import source
from kinesis_server import KinesisLocal
from pipeline import STORY, Pipeline, wait_until
from stream import StreamReader, judge


def run_story_sql(mssqld):
    """The story's SQL as it stands, batch by batch as every client splits it at GO."""
    with source.connect(mssqld, "master") as connection:
        for batch in STORY.read_text().split("\nGO\n"):
            if batch.strip():
                source.execute(connection, batch)


def insert(connection, first, count):
    for i in range(first, first + count):
        source.execute(
            connection,
            "INSERT INTO dbo.invoices (invoice_id, customer_id, billing_date, due_date, balance, "
            f"monthly_kwh_use, total_amount_due) VALUES ({i}, {1200000 + i}, '5/15/2022', "
            f"'5/{1 + i % 28}/2022', {i % 50 if i % 3 else 'NULL'}, {i % 60}, {i / 2:g})")


def settle(reader, mssqld, instance="dbo_invoices", table="dbo.invoices", timeout=60):
    """Waits until every change of the source is in the stream; returns what to judge with."""
    with source.connect(mssqld, "democustomer") as c:
        positions = source.change_positions(c, instance)
        rows = source.rows(c, table)
    wanted = set(positions)
    reader.wait(lambda rs: wanted <= {r.position for r in rs}, timeout, f"all changes of {table}")
    return rows, positions


@pytest.mark.parametrize("encoders,shippers", [(1, 1), (2, 2)])
def test_story_on_kinesisd(mssqld, kinesisd, encoders, shippers):
    run_story_sql(mssqld)
    with Pipeline(mssqld, kinesisd, encoders=encoders, shippers=shippers) as p:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        reader.wait(lambda rs: sum(r.is_load for r in rs) >= 10, 30, "ten load records")

        loads = [r for r in reader.records if r.is_load]
        assert sorted(r.data["invoice_id"] for r in loads) == list(range(1, 11))
        first = next(r for r in loads if r.data["invoice_id"] == 1)
        assert first.data == {"invoice_id": 1, "customer_id": 1219578,
                              "billing_date": "2022-04-15", "due_date": "2022-04-30",
                              "balance": 25, "monthly_kwh_use": 6, "total_amount_due": "28"}
        # 20.5 went into a text column: it stays what the source stores.
        assert next(r for r in loads if r.data["invoice_id"] == 2).data["total_amount_due"] == "20.5"
        # No key: the whole table is one partition key, as DMS names it.
        assert {r.key for r in loads} == {"dbo.invoices"}
        assert all(r.raw.endswith(b"\n") and r.raw.count(b"\n") == 1 for r in loads)

        with source.connect(mssqld, "democustomer") as c:
            insert(c, 11, 200)
            source.execute(c, "UPDATE dbo.invoices SET balance = 0 WHERE invoice_id < 6")
            source.execute(c, "DELETE FROM dbo.invoices WHERE invoice_id BETWEEN 20 AND 24")
        rows, positions = settle(reader, mssqld)
        verdict = judge(reader.records, "dbo.invoices", ["invoice_id"], rows, positions)
        assert verdict.good, verdict
        assert verdict.rows == 205
        assert verdict.repeated == 0

        # A renumbered invoice is one update that carries the new number.
        with source.connect(mssqld, "democustomer") as c:
            source.execute(c, "UPDATE dbo.invoices SET invoice_id = 9001 WHERE invoice_id = 1")
        reader.wait(lambda rs: any(r.data.get("invoice_id") == 9001 for r in rs), 30, "renumbering")
        assert reader.records[-1].operation == "update"

        statistics = wait_until(
            lambda: next((t for t in p.table_statistics()["TableStatistics"]
                          if t["TableName"] == "invoices" and t["Updates"] >= 6), None),
            10, "table statistics")
        assert statistics["FullLoadRows"] == 10
        assert statistics["Inserts"] == 200
        assert statistics["Deletes"] == 5
        assert statistics["TableState"] == "Table completed"
        assert set(p.stop().values()) == {0}


def test_story_on_kinesis_local():
    """The same against a Kinesis that nobody here wrote."""
    from servers import Mssqld

    mssqld = Mssqld().start()
    local = KinesisLocal(streams="invoices:2").start()
    try:
        run_story_sql(mssqld)
        with Pipeline(mssqld, local) as p:
            reader = StreamReader(local.client(), "invoices")
            p.start()
            reader.wait(lambda rs: sum(r.is_load for r in rs) >= 10, 60, "ten load records")
            with source.connect(mssqld, "democustomer") as c:
                insert(c, 11, 50)
                source.execute(c, "UPDATE dbo.invoices SET balance = 1 WHERE invoice_id = 60")
                source.execute(c, "DELETE FROM dbo.invoices WHERE invoice_id = 59")
            rows, positions = settle(reader, mssqld)
            verdict = judge(reader.records, "dbo.invoices", ["invoice_id"], rows, positions)
            assert verdict.good, verdict
            assert verdict.rows == 59
    finally:
        local.stop()
        mssqld.stop()


def test_control_record_and_details(mssqld, kinesisd):
    run_story_sql(mssqld)
    with Pipeline(mssqld, kinesisd, target={"IncludeControlDetails": True,
                                            "IncludeNullAndEmpty": True,
                                            "IncludeTransactionDetails": True}) as p:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        # Another key, perhaps another shard: sent before the rows, read in any order with them.
        reader.wait(lambda rs: sum(r.is_load for r in rs) >= 10 and not all(r.is_data for r in rs),
                    30, "ten load records and the control record")
        control = next(r for r in reader.records if not r.is_data)
        assert control.operation == "create-table"
        assert control.key == "e2e.dbo.invoices"
        columns = control.message["control"]["table-def"]["columns"]
        assert list(columns) == ["invoice_id", "customer_id", "billing_date", "due_date",
                                 "balance", "monthly_kwh_use", "total_amount_due"]
        assert columns["invoice_id"]["type"] == "INT32"
        assert columns["total_amount_due"]["length"] == 50
        assert control.metadata["partition-key-type"] == "task-id"
        load = next(r for r in reader.records if r.is_load and r.data["invoice_id"] == 2)
        assert load.data["balance"] is None
        with source.connect(mssqld, "democustomer") as c:
            insert(c, 11, 1)
        reader.wait(lambda rs: any(r.is_data and not r.is_load for r in rs), 30, "the insert")
        metadata = reader.records[-1].metadata
        assert metadata["transaction-record-id"] == 1
        assert metadata["commit-timestamp"].endswith("Z")
        assert isinstance(metadata["transaction-id"], int)


def test_formatted_json_is_the_same_message(mssqld, kinesisd):
    run_story_sql(mssqld)
    with Pipeline(mssqld, kinesisd, target={"MessageFormat": "json"}) as p:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        reader.wait(lambda rs: sum(r.is_load for r in rs) >= 10, 30, "ten load records")
        load = next(r for r in reader.records if r.is_load)
        assert b"\n\t" in load.raw and b":\t" in load.raw
        assert json.loads(load.raw)["metadata"]["operation"] == "load"


def test_full_load_alone_ends_with_zero(mssqld, kinesisd):
    run_story_sql(mssqld)
    with Pipeline(mssqld, kinesisd, migration="full-load") as p:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        assert p.capture.wait(30) == 0, p.logs()
        reader.wait(lambda rs: sum(r.is_load for r in rs) == 10, 30, "ten load records")


def test_cdc_alone_sends_only_what_comes_later(mssqld, kinesisd):
    run_story_sql(mssqld)
    with Pipeline(mssqld, kinesisd, migration="cdc") as p:
        reader = StreamReader(kinesisd.client(), "invoices")
        p.start()
        wait_until(lambda: any(t["TableName"] == "invoices" for t in
                               p.table_statistics().get("TableStatistics", [])), 30, "the table")
        wait_until(lambda: (p.state / "topology.json").exists(), 30, "the baseline")
        with source.connect(mssqld, "democustomer") as c:
            insert(c, 11, 3)
        reader.wait(lambda rs: sum(r.operation == "insert" for r in rs) == 3, 30, "three inserts")
        assert not any(r.is_load for r in reader.records)
