import csv
import gzip

import pytest

from invdiff.graphs.smiles import read_smiles


@pytest.mark.parametrize("packed", [False, True])
def test_tables_give_their_column(tmp_path, packed):
    text = 'id,smiles,note\n1,"CCO\n","a, b"\n2, C#N ,\n'
    path = tmp_path / ("set.csv.gz" if packed else "set.csv")
    # some programs begin a table with the mark of its encoding
    content = text.encode("utf-8-sig")
    path.write_bytes(gzip.compress(content) if packed else content)
    assert read_smiles(path, "smiles") == ["CCO", "C#N"]
    with pytest.raises(ValueError, match="column 'SMILES', got 'id, smiles, note'"):
        read_smiles(path)
    # the quoted break of the first row is a line too
    with pytest.raises(ValueError, match="line 4: no SMILES"):
        read_smiles(path, "note")


def test_lines_give_their_first_word(tmp_path):
    path = tmp_path / "set.smi"
    path.write_text("CCO ethanol\n\nC#N\thydrogen cyanide\n")
    assert read_smiles(str(path)) == ["CCO", "C#N"]


def test_files_without_smiles_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'set\.txt'"):
        read_smiles(tmp_path / "set.txt")
    with pytest.raises(ValueError, match="not readable"):
        read_smiles(tmp_path / "set.smi")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match="expected a column"):
        read_smiles(tmp_path / "empty.csv")
    (tmp_path / "long.csv").write_text("SMILES\n" + "C" * (csv.field_size_limit() + 1))
    with pytest.raises(ValueError, match=r"long.csv: line \d+: field"):
        read_smiles(tmp_path / "long.csv")
