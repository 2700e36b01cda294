"""Fixtures of the acceptance tests: one PostgreSQL for all, a database and a home folder for each product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from psycopg2 import sql

from tests.acceptance.daemon import Product

MakeProduct = Callable[..., Product]


@pytest.fixture(scope="module")
def make_product(
    embedded_server: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeProduct]:
    """Makes products; keyword arguments are laid over the YAML. The product makes its database itself."""
    parameters = embedded_server
    made: list[str] = []

    def make(**changes: Any) -> Product:
        made.append(f"acceptance_{uuid4().hex[:12]}")
        url = f"postgresql://{parameters['user']}@:{parameters['port']}/{made[-1]}?host={parameters['host']}"
        return Product(tmp_path_factory.mktemp("product") / "home", url, **changes)

    yield make
    connection = psycopg2.connect(**{**parameters, "dbname": "postgres"})
    connection.autocommit = True
    with connection.cursor() as cursor:
        for name in made:
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    connection.close()


@pytest.fixture
def product(make_product: MakeProduct) -> Product:
    return make_product()
