"""Files are either complete or absent."""

import errno
from pathlib import Path

import pytest

from invrim.errors import DataError, FileError
from invrim.files import atomic_write, reason, require_writable


def test_the_file_appears_at_the_end_and_keeps_its_suffix(tmp_path):
    path = tmp_path / "a.nii.gz"
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert temporary.name.endswith("a.nii.gz")
        assert not path.exists()
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]


def write_half(path, error):
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_failing_disk_leaves_the_old_file_and_nothing_else(tmp_path, code, monkeypatch):
    path = tmp_path / "a.h5"
    path.write_text("old")

    def fail(*_):
        raise OSError(code, "No space left on device")

    with pytest.raises(FileError, match=r"a\.h5: no space left on device\. Nothing was left behind"):
        write_half(path, OSError(code, "No space left on device"))
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(FileError, match="no space left on device"), atomic_write(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_other_errors_pass_unchanged_and_clean_up(tmp_path):
    for error in (DataError("as it is"), KeyboardInterrupt("as it is")):
        with pytest.raises(type(error), match="as it is"):
            write_half(tmp_path / "a", error)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileError, match="no such file or directory"), atomic_write(tmp_path / "no" / "a") as temporary:
        temporary.write_text("x")


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Can't write data (file write failed: errno = 28, error message = 'No space left on device', buf = 0)",
         "no space left on device"),
        ("Unable to open file (truncated file: eof = 5, sblock->base_addr = 0)",
         "truncated file: eof = 5, sblock->base_addr = 0"),
        ("5760 requested and 512 written", "no room for more than 512 of 5760 numbers"),
        ("two\nlines", "two lines"),
        ("", "oserror"),
    ],
)  # fmt: skip
def test_the_reason_is_one_short_line(text, short):
    assert reason(OSError(text)) == short


def test_a_folder_that_can_be_written_is_left_as_it_is(tmp_path):
    require_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileError, match="expected to make the folder"):
        require_writable(tmp_path / "file")
