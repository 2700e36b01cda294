"""What orphans wait for is text: it finds the number that it is, whatever the server can, and nothing else."""

from __future__ import annotations

import pytest
from psycopg2 import sql

from config.model import Dtype
from config.schema import Column
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.waits import VALIDATES_INPUT, wanted

TEXTS = {
    "0": 0,
    "42": 42,
    "-42": -42,
    "999999999999999999": 10**18 - 1,
    "9223372036854775807": 2**63 - 1,
    "-9223372036854775808": -(2**63),
    "9223372036854775808": None,
    "-9223372036854775809": None,
    "99999999999999999999": None,
    "": None,
    "-": None,
    "a": None,
    "4.0": None,
    "4,2": None,
    "٤٢": None,
    "[1, 2]": None,
    # Numbers that are written in another way: no load keeps them so.
    "042": None,
    " 42": None,
    "+42": None,
    "0x2a": None,
    "4_2": None,
    "-0": None,
}


@pytest.mark.parametrize("version", [VALIDATES_INPUT - 1, VALIDATES_INPUT])
def test_a_text_finds_the_number_that_it_is(warehouse: Warehouse, version: int) -> None:
    with warehouse.transaction() as tx:
        if tx.connection.server_version < version:
            pytest.skip("the server is older")
        number = wanted(Column(name="id", dtype=Dtype.INT), sql.SQL("w.parent_key"), version)
        tx.execute(
            sql.SQL(
                "SELECT w.parent_key, CASE WHEN ({number})::text = w.parent_key THEN {number} END "
                "FROM unnest(%(texts)s) AS w (parent_key)"
            ).format(number=number),
            {"texts": list(TEXTS)},
        )
        assert dict(tx.fetchall()) == TEXTS
