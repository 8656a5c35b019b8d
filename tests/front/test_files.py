import pytest

from footfall.errors import DataError
from footfall.files import whole_file


def write_then_fail(path, error):
    with whole_file(path) as partial:
        partial.write_text("half")
        raise error


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_older_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_then_fail(path, ZeroDivisionError())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="none"), whole_file(tmp_path / "none" / "a") as partial:
        partial.write_text("x")


def test_a_full_disk_says_so(tmp_path):
    with pytest.raises(DataError, match="No space left"):
        write_then_fail(tmp_path / "a", OSError(28, "No space left on device"))
    assert not list(tmp_path.iterdir())
