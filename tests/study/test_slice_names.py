"""Names of subjects and classes."""

from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from pydantic import ValidationError

from invdiff.study.slices import SliceSource
from invdiff.study.slices.found import FoundScan


@pytest.fixture
def folder(tmp_path):
    for place in ("T1/p1/a.npz", "T1/p2.npz", "FLAIR/p1.npz"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        np.savez(tmp_path / place, x=np.full((2, 4, 4), 9, np.uint8))
    return tmp_path


def named(slices):
    classes = slices.classes or ("",)
    labels = [0] * len(slices) if slices.labels is None else slices.labels.tolist()
    return [(s, classes[k]) for s, k in zip(slices.subjects, labels, strict=True)][::2]


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({}, [("FLAIR", ""), ("T1", ""), ("T1", "")]),
        ({"labels": "folder"}, [("p1", "FLAIR"), ("p2", "T1"), ("p1", "T1")]),
        (
            {"subject_pattern": "(p[0-9])", "labels": "pattern", "label_pattern": "(T1|FLAIR)/"},
            [("p1", "FLAIR"), ("p2", "T1"), ("p1", "T1")],
        ),
    ],
)
def test_names_are_those_of_the_path(folder, choices, expected):
    assert named(SliceSource(path=str(folder), **choices).read()) == expected


def subjects_of(*scans, **choices):
    """Names of scans, each given as kind, path and PatientID."""
    found = []
    for kind, path, patient in scans:
        folder, _, name = path.rpartition("/")
        found.append(FoundScan((Path(path),), kind, PurePosixPath(folder), name, patient))
    return SliceSource(path="x", **choices).subjects(found, "root")


def test_files_beside_the_dicom_of_a_patient_are_of_this_patient():
    assert subjects_of(
        ("dicom", "p1/a/1", "anna"), ("nifti", "p1/t1.nii", ""), ("dicom", "p1/b/1", ""),
        ("dicom", "p2/1", "bert"), ("nifti", "p3/t1.nii", ""),
    ) == ["anna", "anna", "anna", "bert", "p3"]  # fmt: skip


def test_nobody_knows_whose_files_beside_several_patients_are():
    scans = [("dicom", "d/1", "anna"), ("dicom", "d/2", "bert"), ("dicom", "d/3", "")]
    assert subjects_of(*scans) == ["anna", "bert", ""]


def test_loose_dicom_files_without_patient_are_of_one_subject():
    assert subjects_of(("dicom", "1.dcm", ""), ("dicom", "2.dcm", "")) == ["root", "root"]
    assert subjects_of(("nifti", "1.nii", ""), ("nifti", "2.nii", "")) == ["1", "2"]


@pytest.mark.parametrize("choices", [{}, {"labels": "folder"}])
def test_names_of_bids_are_found_at_any_depth(choices):
    assert subjects_of(
        ("nifti", "derivatives/n4/sub-01/anat/sub-01_T1w.nii", ""),
        ("nifti", "site/sub-01_ses-2_T1w.nii.gz", ""),
        ("nifti", "site/sub-02.nii.gz", ""),
        **choices,
    ) == ["sub-01", "sub-01", "sub-02"]
    assert subjects_of(("nifti", "resub-01_T1.nii", "")) == ["resub-01_T1"]


def test_classes_are_sorted(folder):
    slices = SliceSource(path=str(folder), labels="folder").read()
    assert slices.classes == ("FLAIR", "T1")
    assert slices.labels.tolist() == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"labels": "pattern", "label_pattern": "(T1)"}, r"label_pattern .* is not in FLAIR/p1"),
        ({"subject_pattern": "(p1)"}, r"subject_pattern .* is not in T1/p2"),
        ({"labels": "array"}, "no class, since it has no array label"),
    ],
)
def test_refuses_slices_without_a_name(folder, choices, message):
    # a name that is missing is no damage
    with pytest.raises(ValueError, match=message) as refusal:
        SliceSource(path=str(folder), skip_damaged=True, **choices).read()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"label_pattern": "(a)"}, "goes with labels: pattern"),
        ({"labels": "pattern"}, "goes with labels: pattern"),
        ({"subject_pattern": "(a"}, "not a regular expression"),
        ({"subject_pattern": "a"}, "one group in parentheses"),
        ({"only_pattern": "(a"}, "only_pattern\n.*not a regular expression"),
    ],
)
def test_refuses_patterns_that_name_nothing(choices, message):
    with pytest.raises(ValidationError, match=message):
        SliceSource(path="x", **choices)
