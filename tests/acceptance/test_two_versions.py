"""Version 0.1.0 and this one on one database, as during a rolling restart: real processes of both."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import psycopg2
import pytest

from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import ROOT, Product

COMMIT_OF_0_1_0 = "bfa81b4eeb773288490463c1653947616e09b68f"


class Former(Product):
    """An installation of 0.1.0, at home in the folder of its code."""

    def command(self, *args: str) -> list[str]:
        return [sys.executable, str(self.home / "code/main.py"), *args]

    def configure(self, **_changes: object) -> None:
        self.config.write_bytes((ROOT / "tests/former/0.1.0/pipeline_config.yaml").read_bytes())


@pytest.fixture
def newer(make_product: MakeProduct) -> Product:
    return make_product()


@pytest.fixture
def former(newer: Product, tmp_path: Path) -> Former:
    done = subprocess.run(["git", "archive", COMMIT_OF_0_1_0], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("the history of the code is not here")
    product = Former(tmp_path / "former", newer.url)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as code:
        code.extractall(product.home / "code", filter="data")
    product.env |= {"WEB_ENABLED": "false"}
    return product


def test_the_former_version_loads_on_beside_this_one_and_is_refused_when_started_again(
    former: Former, newer: Product
) -> None:
    former.batch("categories.csv", "category_id,category_name\n1,a\n")
    daemon = former.start().wait_for_banner(120)
    try:
        former.wait_for_files(1)
        with psycopg2.connect(str(former.url)) as loading, loading.cursor() as cursor:
            cursor.execute("SELECT FROM pipeline_file_log")  # a load in hand: the upgrade waits for it
            upgrade = newer.start(*newer.command("once"))
            with pytest.raises(subprocess.TimeoutExpired):
                upgrade.process.wait(2)
        loading.close()
        assert upgrade.process.wait(90) == 0, upgrade.output()

        content = "category_id,category_name\n2,b\nx,c\n"
        former.batch("categories.csv", content)
        former.wait_for_files(2, seconds=60)
        newer.batch("categories.csv", content)
        assert "already done" in newer.once(expect=0).stdout
        assert newer.value("SELECT count(*) FROM dim_category") == 2
        assert daemon.stop(seconds=60) == 0
    finally:
        daemon.kill()
    said = former.once(expect=2)
    assert "pipeline_file_log.as_of: the table has it, the configuration not" in said.stdout + said.stderr
