"""Somebody's own recordings: sub-folders, a table, Kaldi data directories; and their mistakes."""

import dataclasses
from pathlib import Path

import pytest

from local.speech import find_root, list_recordings
from separation.corpora import plugin as module
from separation.corpora.plugin import Recording
from separation.errors import MissingInputError, UserError
from separation.files import read_rows
from tests.support.inputs_page import is_documented

HEADER = "utterance,speaker,sex,age,split,path,transcript"
ROWS = [
    ("u3", "ann", "f", "31", "train", "ann/Say1.WAV", "one, two"),
    ("u1", "ann", "f", "31", "train", "ann/deep/say2.flac", "三 四"),
    ("u4", "bob", "m", "9", "test", "bob/say1.opus", ""),
    ("u2", "cai", "", "", "test", "cai/x.ogg", "five"),
]
LISTED = [
    Recording(
        speaker="ann",
        sex="F",
        path="ann/Say1.WAV",
        prompt="say1",
        transcript="one, two",
        subset="train",
        age="31",
        utterance="u3",
    ),
    Recording(
        speaker="ann",
        sex="F",
        path="ann/deep/say2.flac",
        prompt="say2",
        transcript="三 四",
        subset="train",
        age="31",
        utterance="u1",
    ),
    Recording(
        speaker="bob",
        sex="M",
        path="bob/say1.opus",
        prompt="say1",
        subset="test",
        age="9",
        utterance="u4",
    ),
    Recording(
        speaker="cai",
        path="cai/x.ogg",
        prompt="x",
        transcript="five",
        subset="test",
        utterance="u2",
    ),
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """The files of ROWS, and some that no table names."""
    for path in [row[5] for row in ROWS] + ["ann/other.wav", "LICENSE"]:
        (tmp_path / "corpus" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "corpus" / path).touch()
    return tmp_path / "corpus"


def write_table(corpus: Path, lines: list[str], name: str = "utterances.csv") -> Path:
    (corpus / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return corpus


def format_csv(rows: list[tuple[str, ...]]) -> list[str]:
    return [HEADER] + [",".join(f'"{field}"' for field in row) for row in rows]


def write_kaldi(folder: Path, corpus: Path | str, rows: list[tuple[str, ...]] = ROWS) -> Path:
    """A data directory of these rows; paths begin with ``corpus``."""
    folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, dict[str, str]] = {
        "wav.scp": {row[0]: f"{corpus}/{row[5]}" for row in rows},
        "utt2spk": {row[0]: row[1] for row in rows},
        "text": {row[0]: row[6] for row in rows if row[6]},
        "spk2gender": {row[1]: row[2] for row in rows if row[2]},
        "spk2age": {row[1]: row[3] for row in rows if row[3]},
    }
    for name, table in tables.items():
        lines = "".join(f"{key} {value}\n" for key, value in sorted(table.items()))
        (folder / name).write_text(lines, encoding="utf-8")
    return folder


def split_kaldi(data: Path, corpus: Path | str) -> Path:
    """A ``data/`` folder with a data directory for each split, and Kaldi's other sub-folders."""
    for split in ("train", "test"):
        write_kaldi(data / split, corpus, [row for row in ROWS if row[4] == split])
    (data / "lang").mkdir()
    (data / "train/.backup").mkdir()
    (data / "train/.backup/wav.scp").touch()
    return data


def edit(path: Path, text: str, mode: str = "a") -> None:
    with open(path, mode, encoding="utf-8") as handle:
        handle.write(text)


def refusal(root: Path, kind: type[UserError] = UserError) -> str:
    """The one sentence about ``root``, which names it."""
    with pytest.raises(kind) as caught:
        list_recordings(root)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and str(root) in message
    return message


def test_sub_folders(tmp_path):
    for name in ("b_F/x/2.wav", "b_F/Hi.FLAC", "a/3.opus", "a/notes.txt", ".git/4.wav", "top.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list_recordings(tmp_path) == [
        Recording(speaker="a", path="a/3.opus", prompt="3"),
        Recording(speaker="b_F", sex="F", path="b_F/Hi.FLAC", prompt="hi"),
        Recording(speaker="b_F", sex="F", path="b_F/x/2.wav", prompt="2"),
    ]
    assert find_root(tmp_path) == tmp_path


def test_table(corpus):
    write_table(corpus, format_csv(ROWS))
    assert list_recordings(corpus) == LISTED
    assert find_root(corpus) == corpus


def test_kaldi_directory(corpus, tmp_path):
    """Without sub-folders there are no subsets; all else is as in the table."""
    kaldi = write_kaldi(tmp_path / "s5/data/all", corpus)
    assert find_root(kaldi) == corpus
    assert list_recordings(kaldi) == [dataclasses.replace(row, subset="") for row in LISTED]


def test_table_and_kaldi_folder_of_the_same_data_are_the_same_list(corpus, tmp_path):
    data = split_kaldi(tmp_path / "data", corpus)
    write_table(corpus, format_csv(ROWS))
    assert list_recordings(data) == list_recordings(corpus) == LISTED
    assert find_root(data) == find_root(corpus) == corpus


def test_the_root_is_asked_of_the_source(corpus, tmp_path):
    data = split_kaldi(tmp_path / "data", corpus)
    assert module.find_root("speech", data) == corpus
    assert module.find_root("librispeech", tmp_path) == tmp_path
    assert module.list_recordings("speech", data) == LISTED


@pytest.mark.parametrize(
    ("place", "current", "prefix"),
    [
        ("corpus", "elsewhere", ""),  # wav.scp beside the files
        ("corpus/kaldi", "elsewhere", "../"),
        ("s5/data/all", ".", "corpus/"),  # Kaldi's own: from where it ran
        ("data/all", "elsewhere", "corpus/"),  # the same, once run.sh has changed the folder
    ],
)
def test_relative_paths(corpus, tmp_path, monkeypatch, place, current, prefix):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / current)
    kaldi = write_kaldi(tmp_path / place, prefix.rstrip("/") or ".")
    assert [row.path for row in list_recordings(kaldi)] == [row.path for row in LISTED]
    assert find_root(kaldi) == corpus


def test_the_data_directory_comes_before_the_current_one(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(corpus)
    for row in ROWS:
        (tmp_path / "copy" / row[5]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / row[5]).touch()
    assert find_root(write_kaldi(tmp_path / "copy", ".")) == tmp_path / "copy"


def test_kaldi_root_of_one_speaker_is_his_folder(corpus, tmp_path):
    kaldi = write_kaldi(tmp_path / "data", corpus, ROWS[2:3])
    assert find_root(kaldi) == corpus / "bob"
    assert [row.path for row in list_recordings(kaldi)] == ["say1.opus"]


def test_windows_line_ends_and_blank_lines(corpus, tmp_path):
    kaldi = write_kaldi(tmp_path / "data", corpus)
    for path in kaldi.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert len(list_recordings(kaldi)) == len(ROWS)
    write_table(corpus, format_csv(ROWS))
    table = (corpus / "utterances.csv").read_bytes()
    (corpus / "utterances.csv").write_bytes(b"\xef\xbb\xbf" + table.replace(b"\n", b"\r\n"))
    assert list_recordings(corpus) == LISTED


def test_tabs_capitals_and_further_columns(corpus):
    lines = [
        "Path\tnoise\tSPEAKER\tSubset\taccent\tSex",
        './ann/Say1.WAV\t"3\tann\tdev\tnorth\tFemale',
    ]
    assert list_recordings(write_table(corpus, lines, "utterances.tsv")) == [
        Recording(
            speaker="ann", sex="F", path="ann/Say1.WAV", prompt="say1", subset="dev", accent="north"
        )
    ]


def test_optional_kaldi_tables(corpus, tmp_path):
    kaldi = write_kaldi(tmp_path / "data", corpus)
    for name in ("text", "spk2gender", "spk2age"):
        (kaldi / name).unlink()
    edit(kaldi / "utt2spk", "u9 zoe\n")  # whose recording was left out of wav.scp
    found = list_recordings(kaldi)
    assert {(row.sex, row.age, row.transcript) for row in found} == {("", "", "")}
    assert [row.utterance for row in found] == ["u3", "u1", "u4", "u2"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("u5 sph2pipe -f wav x.sph |", "is a command"),
        ("u5 raw.ark:1234", "points into an archive (raw.ark:1234)"),
        ("u5 raw.ark:1234[0:9]", "points into an archive"),
        ("u5", "has no path"),
    ],
)
def test_what_is_no_file_is_named_with_its_line(corpus, tmp_path, line, message):
    kaldi = write_kaldi(tmp_path / "data", corpus)
    edit(kaldi / "wav.scp", line + "\n")
    told = refusal(kaldi)
    assert f"wav.scp: line 5 {message}" in told and "plain audio files" in told
    with pytest.raises(UserError, match=r"wav.scp: line 5"):
        find_root(kaldi)


def test_segments_are_refused(corpus, tmp_path):
    data = split_kaldi(tmp_path / "data", corpus)
    edit(data / "test/segments", "u4-1 u4 0.0 1.5\n")
    told = refusal(data)
    assert f"{data}/test/segments: line 1 " in told and "remove segments" in told


def test_utterances_without_speaker(corpus, tmp_path):
    kaldi = write_kaldi(tmp_path / "data", corpus)
    edit(kaldi / "utt2spk", "u1 ann\nu2\n", "w")
    assert "utt2spk: names no speaker for 3 utterances of wav.scp (u2, u3, u4)" in refusal(kaldi)
    (kaldi / "utt2spk").unlink()
    assert "utt2spk: not there" in refusal(kaldi, MissingInputError)


def test_missing_files_are_counted(corpus, tmp_path):
    write_table(corpus, format_csv(ROWS))
    kaldi = write_kaldi(tmp_path / "data", corpus)
    for row in ROWS:
        (corpus / row[5]).unlink()
    first = (
        f"({corpus}/ann/Say1.WAV, {corpus}/ann/deep/say2.flac, {corpus}/bob/say1.opus and 1 more)"
    )
    for root in (kaldi, corpus):
        assert f"4 of its 4 files are not there {first}; fix" in refusal(root, MissingInputError)


@pytest.mark.parametrize("name", ["wav.scp", "utt2spk", "text", "spk2gender", "spk2age"])
def test_kaldi_line_twice(corpus, tmp_path, name):
    kaldi = write_kaldi(tmp_path / "data", corpus)
    line = (kaldi / name).read_text().splitlines()[0]
    edit(kaldi / name, line + "\n")
    assert f"{name}: has a line more than once for 1 ({line.split()[0]})" in refusal(kaldi)


def test_kaldi_folders_with_the_same_utterances(corpus, tmp_path):
    data = split_kaldi(tmp_path / "data", corpus)
    write_kaldi(data / "train_hires", corpus, ROWS[:2])
    told = refusal(data)
    assert "same utterance ID more than once for 2 (u3, u1)" in told
    assert "give one of its folders (test, train, train_hires)" in told


def test_file_under_two_ids(corpus, tmp_path):
    kaldi = write_kaldi(tmp_path / "data", corpus)
    edit(kaldi / "wav.scp", f"u5 {corpus}/cai/../cai/x.ogg\n")
    edit(kaldi / "utt2spk", "u5 cai\n")
    assert "names the same file more than once for 1 (cai/x.ogg)" in refusal(kaldi)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["speaker,file", "ann,a.wav"], "no column path (it has speaker, file)"),
        (["id", "1"], "no column speaker and no path"),
        ([""], "it has none"),
        (["speaker,path,path", "ann,a,b"], "a column twice"),
        (["speaker,path,split,subset", "ann,bob/say1.opus,train,train"], "split and subset"),
        (["speaker,path"], "names no utterance"),
        (["speaker,path", "ann,"], "line 2 has no path"),
        (["speaker,path", "", ",bob/say1.opus"], "line 3 has no speaker"),
        (["speaker,path,transcript", "bob,bob/say1.opus,one, two"], "line 2 has 4 fields for 3"),
        (["speaker,path", "bob,/bob/say1.opus"], "line 2: the path /bob/say1.opus lies outside"),
        (["speaker,path", "bob,bob/../../corpus/bob/say1.opus"], "lies outside"),
        (["speaker,path,sex", "bob,bob/say1.opus,man"], "line 2 has the sex 'man'"),
        (["speaker,path,sex", "b,bob/say1.opus,m", "b,cai/x.ogg,f"], "more than one sex (b)"),
        (["speaker,path", "a/b,bob/say1.opus"], "1 speaker names hold a slash (a/b)"),
        (["speaker,path", "b,bob/say1.opus", "b,./bob/say1.opus"], "same file more than once"),
        (["utterance,speaker,path", "1,b,bob/say1.opus", "1,c,cai/x.ogg"], "same utterance ID"),
    ],
)
def test_mistakes_in_a_table(corpus, lines, message):
    told = refusal(write_table(corpus, lines))
    assert told.startswith(f"{corpus / 'utterances.csv'}") and message in told


def test_kaldi_sex_and_encoding(corpus, tmp_path):
    kaldi = write_kaldi(tmp_path / "data", corpus)
    edit(kaldi / "spk2gender", "cai x\n")
    assert "spk2gender: line 3 has the sex 'x'; write m, f or nothing" in refusal(kaldi)
    (kaldi / "spk2gender").unlink()
    (kaldi / "text").write_bytes("u1 你好\n".encode("gb18030"))
    assert "你好" in {row.transcript for row in list_recordings(kaldi)}
    (kaldi / "text").write_bytes(b"u1 \xff\xff\n")
    assert "text: is no text in UTF-8, UTF-16 or GBK" in refusal(kaldi)
    write_table(corpus, format_csv(ROWS))
    (corpus / "utterances.csv").write_bytes("speaker,path\n你,好\n".encode("gb18030"))
    told = refusal(corpus, MissingInputError)
    assert "好) (it was read as GBK, since it is no UTF-8)" in told and is_documented(told)


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_as_excel_and_others_write_them(coding, mark, end, tmp_path):
    """GBK, a semicolon or a back-slash was a refusal or a file that is not there."""
    names = ["張/一.wav", "bob/e\u0301.wav", "bob/2.wav"]  # the second as macOS composes it
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    written = ["張\\一.wav", "bob/\u00e9.wav", f"{tmp_path}/bob/2.wav"]
    lines = [f"speaker{mark}path", *(f"s{k}{mark}{path}" for k, path in enumerate(written))]
    (tmp_path / "utterances.csv").write_bytes(end.join([*lines, ""]).encode(coding))
    assert sorted(row.path for row in list_recordings(tmp_path)) == sorted(names)


def test_kaldi_tables_from_elsewhere(tmp_path):
    for name in ("e\u0301.wav", "sub/2.wav", "3.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    scp = f"u1 {tmp_path}/\u00e9.wav\r\nu2 .\\sub\\2.wav\r\nu3 ./3.wav\r\n"
    (tmp_path / "wav.scp").write_bytes(b"\xef\xbb\xbf" + scp.encode())
    (tmp_path / "utt2spk").write_bytes("u1 甲\nu2 乙\nu3 乙\n".encode("gbk"))
    found = {row.utterance: (row.speaker, row.path) for row in list_recordings(tmp_path)}
    assert found == {"u1": ("甲", "e\u0301.wav"), "u2": ("乙", "sub/2.wav"), "u3": ("乙", "3.wav")}


def test_two_tables_are_not_guessed_between(corpus):
    write_table(write_table(corpus, format_csv(ROWS)), ["speaker\tpath"], "utterances.tsv")
    assert "keep one of them" in refusal(corpus)
    (corpus / "utterances.tsv").unlink()
    write_kaldi(corpus, ".")
    assert f"holds both utterances.csv and {corpus / 'wav.scp'}" in refusal(corpus)


def test_nothing_at_all(tmp_path):
    assert "no such folder" in refusal(tmp_path / "none", MissingInputError)
    assert find_root(tmp_path / "none") == tmp_path / "none"
    assert "is empty" in refusal(tmp_path)
    for name in ("wav.scp", "utt2spk"):
        (tmp_path / name).touch()
    assert "wav.scp: names no utterance" in refusal(tmp_path)
    assert find_root(tmp_path) == tmp_path


@pytest.mark.long
def test_recipe_takes_a_table(call, speech_folder, tmp_path):
    """The folder recipe through its own run.sh, as far as the mixture tables."""
    root = tmp_path / "corpus"
    root.mkdir()
    lines = ["speaker,path,sex,transcript"]
    for path in sorted(speech_folder.rglob("*.*")):
        (root / path.name).with_stem(f"{path.parent.name}-{path.stem}").symlink_to(path)
        lines.append(f"{path.parent.name},{path.parent.name}-{path.name},{path.parent.name[-1]},hi")
    write_table(root, lines)
    done = call(
        *("bash", "egs/folder/ConvTasNet/run.sh", "--corpus", f"speech={root}"),
        *("--data", tmp_path / "data", "--exp", tmp_path / "exp", "--stop-stage", "2"),
        *("--set", "mixtures.n_dev=6", "--set", "mixtures.n_test=6"),
    )
    assert done.returncode == 0, done.stdout
    rows = read_rows(tmp_path / "data/folder/corpus.csv")
    assert {row["split"] for row in rows} == {"train", "dev", "test"} and len(rows) == 72
    assert {row["sex"] for row in rows} == {"F", "M"}
