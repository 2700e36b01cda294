"""SIGHUP: the running service goes on with the YAML as it is now, or as it was, and says why."""

from __future__ import annotations

import signal

import yaml

from tests.acceptance.daemon import BANNER, Product, wait_until
from tests.acceptance.test_operator import CATEGORIES, log

KEY = {"name": "id", "dtype": "int", "nullable": False}
THING = {"primary_key": "id", "columns": [KEY, {"name": "size", "dtype": "int"}]}


def test_the_service_takes_the_yaml_as_it_is_now_or_says_why_not_and_goes_on(product: Product) -> None:
    def include(name: str, text: object) -> None:
        (product.home / name).write_text(text if isinstance(text, str) else yaml.safe_dump(text))
        config = yaml.safe_load(product.config.read_text())
        product.config.write_text(yaml.safe_dump({**config, "include": ["types/*.yaml"]}))

    (product.home / "types").mkdir()
    with product.running() as daemon:
        expected = {"expected_files": {"things.csv": {"table": "dim_thing"}}}
        include("types/things.yaml", {"schemas": {"things": THING}, "watcher": {"batch": expected}})
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: daemon.output().count(BANNER) == 2, "the banner of the second pipeline")
        product.batch("things.csv", "id,size\n1,2\n")
        wait_until(lambda: product.value("SELECT count(*) FROM dim_thing") == 1, "a file of the new type")

        # A mistake in one included type names its file; the others go on, and so does this one as it was.
        include("types/things.yaml", "schemas: {things: {primary_key: id, columns: [{name: id, dtype: whole}]}}\n")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "things.yaml: schemas.things" in daemon.output(), "the mistake, with its file")
        assert "The service goes on as it was" in daemon.output()
        assert "Configuration not reloaded" in log(product)
        product.batch("categories.csv", f"{CATEGORIES}1,a\n")
        wait_until(lambda: product.value("SELECT count(*) FROM dim_category") == 1, "a file of another type")

        # What a start would be refused for is told, too.
        wider = {**THING, "columns": [KEY, {"name": "size", "dtype": "str"}]}
        include("types/things.yaml", {"schemas": {"things": wider}, "watcher": {"batch": expected}})
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "dim_thing.size: the table has integer" in daemon.output(), "the difference")
        assert daemon.output().count(BANNER) == 2
