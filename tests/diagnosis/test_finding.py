"""A diagnosis is written as JSON and read again as the same record."""

import pytest

from separation.diagnosis.finding import (
    Change,
    Diagnosis,
    Evidence,
    Finding,
    Plot,
    Series,
    Worth,
    read_diagnosis,
    write_diagnosis,
)
from separation.errors import UserError

PLOT = Plot(
    title="training and dev",
    x_label="step",
    y_label="SI-SDR, dB",
    series=(Series("training", ((1000.0, 5.5), (2000.0, 7))), Series("dev", ())),
)
FINDING = Finding(
    code="overfitted",
    kind="limit",
    title="Overfitted",
    explanation="Training goes on.",
    evidence=(Evidence(label="gap", value="17.3 dB", plot=PLOT),),
    change=Change(text="Mix on the fly.", keys=(("training.dynamic_mixing", "true"),)),
    worth=Worth(low_db=1.4, high_db=1.9, source="rung c", measured=True, mean_db=1.6),
)
NOTE = Finding(code="comparison", kind="note", title="13.0", explanation="Another set.")


def test_a_diagnosis_survives_json(tmp_path):
    diagnosis = Diagnosis(experiment="exp/a", findings=(FINDING, NOTE), facts=FINDING.evidence)
    write_diagnosis(tmp_path / "diagnosis.json", diagnosis)
    assert read_diagnosis(tmp_path / "diagnosis.json") == diagnosis
    assert not diagnosis.healthy
    assert diagnosis.causes == (FINDING,)
    assert read_diagnosis(tmp_path / "none.json") is None


def test_notes_alone_are_healthy():
    assert Diagnosis(experiment="exp/a", findings=(NOTE,), facts=()).healthy


@pytest.mark.parametrize(
    "text",
    [
        '{"experiment": "a"}',
        '{"experiment": "a", "findings": "b", "facts": []}',
        '{"experiment": "a", "findings": [], "facts": [], "colour": 1}',
        '{"experiment": "a", "findings": [{"code": "b"}], "facts": []}',
        '{"experiment": 5, "findings": [], "facts": []}',
    ],
)
def test_a_file_that_is_no_diagnosis_is_refused(tmp_path, text):
    path = tmp_path / "diagnosis.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"diagnosis\.json"):
        read_diagnosis(path)
