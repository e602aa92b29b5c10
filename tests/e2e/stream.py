"""Reads a Kinesis stream with boto3 and judges it against the source.

What weir promises is checked here from outside: every change of the source's change tables
is there (lost), the records of one partition key come in the source's order apart from
repeats (out of order), and the last record of each row is the row (differences).
"""

import dataclasses
import json
import time
from decimal import Decimal


@dataclasses.dataclass(frozen=True)
class Record:
    shard: str
    sequence: int
    key: str
    raw: bytes
    message: dict

    @property
    def metadata(self):
        return self.message["metadata"]

    @property
    def data(self):
        return self.message.get("data", {})

    @property
    def operation(self):
        return self.metadata["operation"]

    @property
    def is_data(self):
        return self.metadata["record-type"] == "data"

    @property
    def position(self):
        return self.metadata.get("stream-position", "")

    @property
    def table(self):
        return f'{self.metadata["schema-name"]}.{self.metadata["table-name"]}'

    @property
    def is_load(self):
        return self.operation == "load"


class StreamReader:
    """Follows all shards from the beginning; poll() returns what is new, in shard order."""

    def __init__(self, client, stream):
        self.client = client
        self.stream = stream
        self.iterators = {}
        self.records = []

    def _discover(self):
        for shard in self.client.list_shards(StreamName=self.stream)["Shards"]:
            shard_id = shard["ShardId"]
            if shard_id not in self.iterators:
                self.iterators[shard_id] = self.client.get_shard_iterator(
                    StreamName=self.stream, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
                )["ShardIterator"]

    def poll(self):
        """One pass over all shards until each answers with nothing more."""
        self._discover()
        new = []
        for shard_id, iterator in list(self.iterators.items()):
            while iterator is not None:
                answer = self.client.get_records(ShardIterator=iterator, Limit=10000)
                iterator = answer.get("NextShardIterator")
                for r in answer["Records"]:
                    message = json.loads(r["Data"], parse_float=Decimal)
                    new.append(
                        Record(shard_id, int(r["SequenceNumber"]), r["PartitionKey"], r["Data"],
                               message))
                if not answer["Records"]:
                    break
            self.iterators[shard_id] = iterator
        self.records.extend(new)
        return new

    def wait(self, condition, timeout=60, what="the stream"):
        """Polls until condition(records) holds; raises with what was there otherwise."""
        deadline = time.monotonic() + timeout
        while True:
            self.poll()
            if condition(self.records):
                return self.records
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{what}: not so after {timeout} s; {len(self.records)} records, "
                    f"last {self.records[-1].message if self.records else None}")
            time.sleep(0.05)


@dataclasses.dataclass
class Verdict:
    rows: int
    records: int
    differences: list
    lost: list
    out_of_order: list
    repeated: int

    @property
    def good(self):
        return not (self.differences or self.lost or self.out_of_order)

    def __str__(self):
        return (f"{self.rows:,} rows, {len(self.differences)} differences, {len(self.lost)} lost, "
                f"{len(self.out_of_order)} out of order, {self.repeated:,} repeated")


def identity(record):
    """What makes two records the same change: a load's rows share their chunk's position."""
    if record.is_load:
        return (record.table, record.position, record.raw.split(b'"metadata"')[0])
    return (record.table, record.position)


def order_breaches(records):
    """Records that are new for their key and yet stand before one that was already there."""
    seen = {}
    breaches = []
    for r in records:
        if not r.is_data:
            continue
        key = (r.shard, r.key)
        newest, known = seen.setdefault(key, ["", set()])
        ident = identity(r)
        if ident in known:
            continue
        known.add(ident)
        if r.position < newest:
            breaches.append(r)
        else:
            seen[key][0] = r.position
    return breaches


def repeats(records):
    known = set()
    count = 0
    for r in records:
        if not r.is_data:
            continue
        ident = identity(r)
        if ident in known:
            count += 1
        known.add(ident)
    return count


def fold(records, table, key_columns):
    """The last record of each row, by position; None stands for a deleted row."""
    state = {}
    for r in records:
        if not r.is_data or r.table != table:
            continue
        row = tuple(r.data.get(c) for c in key_columns)
        if row in state and r.position < state[row][0]:
            continue
        state[row] = (r.position, None if r.operation == "delete" else r.data)
    return {row: data for row, (_, data) in state.items() if data is not None}


def judge(records, table, key_columns, source_rows, change_positions):
    """source_rows: list of dicts as JSON would show them; change_positions: stream-position
    texts of every change in the source's change table."""
    folded = fold(records, table, key_columns)
    wanted = {tuple(row.get(c) for c in key_columns): row for row in source_rows}
    differences = [
        (row, wanted.get(row), folded.get(row))
        for row in wanted.keys() | folded.keys()
        if wanted.get(row) != folded.get(row)
    ]
    there = {r.position for r in records if r.is_data and r.table == table and not r.is_load}
    lost = [p for p in change_positions if p not in there]
    mine = [r for r in records if r.is_data and r.table == table]
    return Verdict(len(wanted), len(mine), differences, lost, order_breaches(mine), repeats(mine))
