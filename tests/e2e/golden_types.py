"""Reads golden/types.tsv: every type, what is written, and what arrives."""

import dataclasses
import json
import pathlib
import re

PATH = pathlib.Path(__file__).with_name("golden") / "types.tsv"


class Number(str):
    """A JSON number by its digits: 0.10 is not 0.1 here."""

    __hash__ = str.__hash__

    def __eq__(self, other):
        return isinstance(other, Number) and str(self) == str(other)

    def __ne__(self, other):
        return not self == other


def parse(text):
    return json.loads(text, parse_int=Number, parse_float=Number)


def expression(cell):
    """JSON, or texts joined by +, each of them perhaps repeated: "0x" + "78" * 8000."""
    if not cell.startswith('"'):
        return parse(cell)
    out = ""
    for text, times in re.findall(r'("(?:[^"\\]|\\.)*")(?: \* (\d+))?(?: \+ |$)', cell):
        out += json.loads(text) * int(times or 1)
    return out


@dataclasses.dataclass
class Type:
    name: str
    control: str
    values: list  # of (SQL, in the load, in changes)

    @property
    def base(self):
        return self.name.split(" COLLATE ")[0]


def load():
    types = []
    for line in PATH.read_text(encoding="utf-8").split("\n"):
        if line == "" or line.startswith("#") or line.startswith("type\t"):
            continue
        name, control, sql, loaded, changed = line.split("\t")
        if name:
            types.append(Type(name, control, []))
        loaded = expression(loaded)
        types[-1].values.append((sql, loaded, loaded if changed == "=" else expression(changed)))
    return types
