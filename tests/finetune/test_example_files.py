import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from footfall.errors import DataError
from footfall.finetune.example_files import load_examples, save_examples


@pytest.fixture
def examples(make_examples):
    return make_examples(
        [
            {"label": True, "query": "牛奶", "price_log": 0.1 + 0.2, "position": 3},
            {"label": False, "origin": "sim-1", "shown_at": None, "weight": 0.5},
        ]
    )


def test_examples_come_back_as_they_were(tmp_path, examples):
    path = save_examples(examples, tmp_path / "train.parquet")
    assert path == tmp_path / "train.parquet"
    assert load_examples(str(path)).table.equals(examples.table)
    assert [file.name for file in tmp_path.iterdir()] == ["train.parquet"]


def test_saving_again_replaces_the_file(tmp_path, examples, make_examples):
    path = save_examples(examples, tmp_path / "train.parquet")
    save_examples(make_examples([{}]), path)
    assert len(load_examples(path)) == 1


def test_no_examples_are_a_file_too(tmp_path, examples):
    path = save_examples(examples.take(examples.labels & False), tmp_path / "none.parquet")
    assert len(load_examples(path)) == 0


def test_a_failed_save_leaves_the_old_file_and_nothing_half_written(
    tmp_path, examples, monkeypatch
):
    path = save_examples(examples, tmp_path / "train.parquet")
    before = path.read_bytes()

    def full(table, target, **options):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(DataError, match=r"train\.parquet.*No space left"):
        save_examples(examples, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["train.parquet"]


def test_a_missing_folder_is_named(tmp_path, examples):
    with pytest.raises(DataError, match="none") as caught:
        save_examples(examples, tmp_path / "none" / "train.parquet")
    assert "folder" in caught.value.hint


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match="no such file") as caught:
        load_examples(tmp_path / "none.parquet")
    assert "footfall fuse" in caught.value.hint


def test_what_is_no_parquet_file_and_what_lacks_a_column_is_refused(tmp_path, examples):
    text = tmp_path / "text.parquet"
    text.write_text("example_id,label\n")
    with pytest.raises(DataError, match="not a Parquet file"):
        load_examples(text)
    pq.write_table(examples.table.drop_columns(["label"]), text)
    with pytest.raises(DataError, match="label"):
        load_examples(text)
    wrong = examples.table.set_column(
        examples.table.column_names.index("weight"), "weight", pa.array(["much", "little"])
    )
    pq.write_table(wrong, text)
    with pytest.raises(DataError, match="wrong type"):
        load_examples(text)
