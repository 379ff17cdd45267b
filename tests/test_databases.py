import sys
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy
from postgres_server import PASSWORD, USER, postgres_server

from goodbad_pipeline.databases import check_connection, created_quickly, named_errors, read_url
from goodbad_pipeline.errors import InputError

SYNCHRONOUS = "PRAGMA synchronous"


def test_connections_wait_for_the_disk_again_after_the_creation_of_a_database(tmp_path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'new.db'}")
    with created_quickly(), engine.connect() as kept, engine.connect() as closed:
        assert kept.exec_driver_sql(SYNCHRONOUS).scalar_one() == 0
        connection = kept.connection.dbapi_connection
        closed.invalidate()
    assert connection.execute(SYNCHRONOUS).fetchone() == (2,)
    with engine.connect() as later:
        assert later.exec_driver_sql(SYNCHRONOUS).scalar_one() == 2


def read(value: str, **credentials: object) -> sqlalchemy.URL:
    return read_url("tune.storage", value, credentials, Path("/project"))


def test_urls_get_a_driver_credentials_and_the_root_of_the_project() -> None:
    url = read("postgresql://me@host/db?sslmode=require", password="p@ss/{1}%")
    assert url.render_as_string(hide_password=False) == (
        f"postgresql+psycopg://me:{quote('p@ss/{1}%', safe='')}@host/db?sslmode=require"
    )
    assert (read("mysql://host/db", username="me", password=7).password) == "7"
    assert read("mariadb://host/db").drivername == "mariadb+pymysql"
    assert read("postgresql+psycopg2://host/db").drivername == "postgresql+psycopg2"
    assert read("sqlite:///tuning.db").database == "/project/tuning.db"
    assert read("sqlite:////shared/tuning.db").database == "/shared/tuning.db"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("tuning.db", "must be null or a URL such as .* got 'tuning.db'"),
        ("postgresql://me:hunter2@host:port/db", "must be null or a URL such as .* got 'host:port/db'"),
        ("postgres://me:hunter2@host/db", "must begin with postgresql://.* got 'host/db'"),
        ("oracle://host/db", "must begin with postgresql://.* got 'oracle://host/db'"),
        ("sqlite://", "must begin with .* and a file, got 'sqlite://'"),
        ("sqlite:///:memory:", "must begin with .* and a file, got 'sqlite:///:memory:'"),
    ],
)
def test_a_url_of_no_database_is_named_without_its_password(value: str, problem: str) -> None:
    with pytest.raises(InputError, match=f"^tune.storage: {problem}$") as caught:
        read(value)
    assert "hunter2" not in str(caught.value)


def test_credentials_of_a_database_are_a_user_and_a_password() -> None:
    with pytest.raises(InputError, match=r"the entry for tune.storage may only have username and password, got key$"):
        read("postgresql://host/db", key="hunter2")


@pytest.mark.parametrize(
    ("kind", "driver", "extra"), [("postgresql", "psycopg", "postgresql"), ("mysql", "pymysql", "mysql")]
)
def test_a_missing_driver_is_named_with_its_extra(monkeypatch, kind: str, driver: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(
        InputError,
        match=rf"'{kind}://host/db' needs a package .*pip install --constraint constraints.txt .*\[{extra}\]",
    ):
        check_connection("tune.storage", read(f"{kind}://host/db"))


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_server_that_does_not_answer_is_one_line_without_the_password(kind: str) -> None:
    with pytest.raises(
        InputError, match=rf"^tune.storage: '{kind}://me:\*\*\*@127.0.0.1:9/db' cannot be used \(.+\); check"
    ) as caught:
        check_connection("tune.storage", read(f"{kind}://me@127.0.0.1:9/db", password="hunter2"))
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_sqlite_file_in_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing/s\.db.*unable to open database file"):
        check_connection("tune.storage", read(f"sqlite:///{tmp_path}/missing/s.db"))


def test_a_wrong_password_is_one_line_and_a_right_one_connects() -> None:
    with postgres_server() as server:
        check_connection("tune.storage", read(server, username=USER, password=PASSWORD))
        with pytest.raises(InputError, match=f'cannot be used .*password authentication failed for user "{USER}"'):
            check_connection("tune.storage", read(server, username=USER, password="hunter2"))


def test_errors_that_are_not_of_a_database_stay_as_they_are() -> None:
    with pytest.raises(KeyError), named_errors("tune.storage", read("sqlite:///s.db")):
        raise KeyError
