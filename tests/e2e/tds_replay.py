"""The recorded queries of tests/vectors/tds: what python-tds must read when mssqld answers them.

`expected` holds texts; they are turned into the Python values that python-tds makes of the column's
type.  python-tds keeps microseconds and compares decimals by value, so that is the precision here.
"""

import datetime
import hashlib
import json
import re
import struct
import uuid
from decimal import Decimal
from pathlib import Path

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "tds"


def load(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


def standalone():
    """The files whose query needs no table of the recording server."""
    names = []
    for file in sorted(VECTORS.glob("*.json")):
        vector = json.loads(file.read_text())
        query = vector.get("query", "")
        if query.startswith("SELECT CAST") and " FROM " not in query and vector.get("column_types"):
            names.append(file.stem)
    # What this answers depends on tables after all.
    names.remove("cdc_min_max_lsn")
    # Hour 24 is what the other server makes of it; SQL Server and mssqld do not.
    names.remove("oddity_time_24h")
    return names


def sql(name):
    """The query; COLLATE goes inside CAST, or SQL Server would go through code page 1252 first."""
    return re.sub(r"CAST\((N'[^']*') AS varchar\((\d+)\)\) COLLATE (\w+)",
                  r"CAST(\1 COLLATE \3 AS varchar(\2))", load(name)["query"])


def _time(text):
    whole, _, fraction = text.partition(".")
    hour, minute, second = (int(p) for p in whole.split(":"))
    return datetime.time(hour, minute, second, int(fraction[:6].ljust(6, "0")) if fraction else 0)


def _datetime(text):
    date, _, time = text.partition(" ")
    return datetime.datetime.combine(datetime.date.fromisoformat(date), _time(time))


def _offset(text):
    local, sign, zone = text[:-6].strip(), text[-6], text[-5:]
    hours, minutes = zone.split(":")
    delta = datetime.timedelta(hours=int(hours), minutes=int(minutes))
    return _datetime(local).replace(
        tzinfo=datetime.timezone(-delta if sign == "-" else delta))


def parse(text, kind):
    """The value that python-tds gives for `expected` in a column of that wire type."""
    if text is None:
        return None
    if kind in ("INTN", "INT1", "INT2", "INT4", "INT8"):
        return int(text)
    if kind in ("BITN", "BIT"):
        return text == "1"
    if kind in ("FLTN", "FLT4", "FLT8"):
        return float(text)
    if kind in ("NUMERICN", "DECIMALN", "MONEYN", "MONEY", "MONEY4"):
        return Decimal(text)
    if kind == "DATEN":
        return datetime.date.fromisoformat(text)
    if kind == "TIMEN":
        return _time(text)
    if kind in ("DATETIMN", "DATETIME", "DATETIM4", "DATETIME2N"):
        return _datetime(text)
    if kind == "DATETIMEOFFSETN":
        return _offset(text)
    if kind in ("BIGBINARY", "BIGVARBIN", "IMAGE"):
        return bytes.fromhex(text[2:])
    if kind == "GUID":
        return uuid.UUID(text)
    return text


def same(got, want, kind, column):
    """Equal as far as python-tds can tell; real has the precision of a float."""
    if want is None or got is None:
        return got is want
    if isinstance(want, dict):
        data = got if isinstance(got, bytes) else got.encode()
        digest = want.get("sha256") or want.get("sha256_utf8")
        return hashlib.sha256(data).hexdigest() == digest
    if kind in ("DATETIMN", "DATETIME"):
        return abs(got - want) < datetime.timedelta(microseconds=600)
    if isinstance(want, float) and (column.get("max") == 4 or kind == "FLT4"):
        return struct.pack("<f", got) == struct.pack("<f", want)
    if kind == "NCHAR" and column["name"] == "SSVARIANT":
        return got.rstrip(" ") == want  # the other server drops the padding inside sql_variant
    if kind == "XML":
        return got.lstrip("\ufeff") == want  # SQL Server sends a byte order mark
    return got == want


def differences(name, rows):
    """Compares rows with the file's `expected`; returns a list of readable differences."""
    vector = load(name)
    columns = vector["column_types"]
    inner = vector.get("inner_types")
    expected = vector["expected"]
    found = [value for row in rows for value in row]
    if len(found) != len(expected):
        return [f"{len(found)} values, expected {len(expected)}"]
    wrong = []
    for i, (got, text) in enumerate(zip(found, expected)):
        column = columns[i % len(columns)]
        kind = inner[i] if inner and inner[i] else column["name"]
        want = text if isinstance(text, dict) else parse(text, kind)
        if not same(got, want, kind, column):
            wrong.append(f"c{i} ({kind}): {got!r}, expected {want!r}")
    return wrong
