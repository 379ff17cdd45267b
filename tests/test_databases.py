import sqlalchemy

from goodbad_pipeline.databases import created_quickly

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
