"""The service holds files to their contracts by its own timer, over restarts."""

from __future__ import annotations

import datetime as dt
import json

from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import Product, wait_until

CONTRACTS = {
    "watcher": {
        "batch": {
            "expected_files": {
                "teams.csv": {"contract": {"expected_by": "00:00"}},
                "categories.csv": {"contract": {"max_reject_pct": 10, "abort": True}},
            }
        }
    }
}
CATEGORIES = "category_id,category_name\n1,Grill\n2,Sweets\n"


def breaches(product: Product) -> list[tuple[str, str, bool]]:
    rows = product.rows("SELECT kind, file, resolved_at IS NULL AS open FROM contract_breach ORDER BY breach_id")
    return [(row["kind"], row["file"], row["open"]) for row in rows]


def alerts(product: Product) -> list[str]:
    lines = [line for path in sorted(product.home.glob("logs/*.log")) for line in path.read_text().splitlines()]
    return [record["alert"] for record in map(json.loads, lines) if "alert" in record]


def test_the_service_tells_what_is_late_or_too_dirty_and_when_it_is_over(make_product: MakeProduct) -> None:
    product = make_product(**CONTRACTS)
    product.put("master/channels.csv", "channel_id,channel_name\n1,app\n")
    product.once(expect=0)
    assert breaches(product) == [], "a pipeline that began today has not missed this morning"
    connection = product.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE pipeline_file_log SET processed_at = processed_at - interval '2 days'")
    connection.close()
    yesterday = (dt.datetime.now(dt.UTC) - dt.timedelta(days=1)).date().isoformat()
    product.batch("teams.csv", "team_id,team_name\n1,Red\n", yesterday)
    with product.running():
        wait_until(lambda: breaches(product) == [("late", "teams.csv", True)], lambda: str(breaches(product)))
        product.batch("categories.csv", f"{CATEGORIES}x,bad\n")
        wait_until(lambda: len(breaches(product)) == 2, lambda: str(breaches(product)))
    product.once(expect=1)  # the file that failed is still there
    with product.running():
        product.batch("categories.csv", f"{CATEGORIES}3,Fish\n")
        # the very bytes of yesterday's
        product.batch("teams.csv", "team_id,team_name\n1,Red\n")
        wait_until(lambda: not any(is_open for _, _, is_open in breaches(product)), lambda: str(breaches(product)))
    assert breaches(product) == [("late", "teams.csv", False), ("dirty", "categories.csv", False)]
    told = alerts(product)
    assert told[:2] == ["Late file", "File failed"]
    assert sorted(told[2:]) == ["Dirty file: the next one is clean", "Late file has come"]
    assert product.value("SELECT count(*) FROM dim_category") == 3
