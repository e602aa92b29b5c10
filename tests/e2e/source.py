"""Looks at the source database with python-tds, independently of weir's own reader."""

import contextlib
import datetime
from decimal import Decimal

import pytds


@contextlib.contextmanager
def connect(mssqld, database, **kwargs):
    connection = pytds.connect(dsn="127.0.0.1", port=mssqld.port, user="sa",
                               password=mssqld.sa_password, database=database, autocommit=True,
                               **kwargs)
    try:
        yield connection
    finally:
        connection.close()


def execute(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


def query(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def as_json(value):
    """A column value as weir's message shows it."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="milliseconds") + "Z"  # the tests' columns have scale 3
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, float):
        return Decimal(repr(value))
    return value


def rows(connection, table):
    """The rows of a table as dicts; NULL and empty members are left out, as in messages."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in cursor.description]
        return [
            {n: as_json(v) for n, v in zip(names, row) if v is not None and v != ""}
            for row in cursor.fetchall()
        ]


def lsn_text(lsn):
    h = bytes(lsn).hex()
    return f"{h[0:8]}:{h[8:16]}:{h[16:20]}"


def change_positions(connection, instance, after_lsn=b""):
    """stream-position texts of all inserts, updates and deletes of a capture instance."""
    sql = (f"SELECT [__$start_lsn], [__$command_id], [__$seqval], [__$operation] "
           f"FROM cdc.[{instance}_CT]")
    texts = []
    for start, command, seqval, operation in query(connection, sql):
        if operation == 3 or bytes(start) <= after_lsn:
            continue
        flipped = ((command if command is not None else -1) & 0xFFFFFFFF) ^ 0x80000000
        texts.append(f"{lsn_text(start)}.{flipped:08x}.{lsn_text(seqval)}.{operation}")
    return texts
