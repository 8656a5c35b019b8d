import pytest

from footfall.errors import DataError, SettingError
from footfall.files import new_folder, whole_file


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


def fill_then_fail(path, error):
    with new_folder(path) as partial:
        (partial / "a").write_text("half")
        raise error


def test_a_folder_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "made"
    with new_folder(path) as partial:
        (partial / "a").write_text("new")
        assert not path.exists()
    assert (path / "a").read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_no_folder(tmp_path):
    with pytest.raises(ZeroDivisionError):
        fill_then_fail(tmp_path / "made", ZeroDivisionError())
    with pytest.raises(DataError, match="No space left"):
        fill_then_fail(tmp_path / "made", OSError(28, "No space left on device"))
    assert not list(tmp_path.iterdir())


def test_a_folder_with_content_is_no_new_one(tmp_path):
    (tmp_path / "a").write_text("x")
    for path in (tmp_path, tmp_path / "a"):
        with pytest.raises(SettingError, match="exists already"):
            fill_then_fail(path, ZeroDivisionError())
    assert (tmp_path / "a").read_text() == "x"
