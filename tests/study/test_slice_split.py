"""Nobody is on both sides of a split."""

import pytest
import torch
from pydantic import ValidationError

from invdiff.study.slices import SplitConfig
from invdiff.training.slice_set import SliceSet


def numbered(subjects):
    values = torch.arange(len(subjects)).float().reshape(-1, 1, 1, 1)
    return SliceSet(values, tuple(subjects))


def numbers(slices):
    return slices.values.flatten().int().tolist()


@pytest.mark.parametrize(
    ("fraction", "count"), [(0.01, 1), (0.25, 1), (0.5, 2), (0.75, 3), (0.99, 3)]
)
def test_nobody_is_on_both_sides(fraction, count):
    slices = numbered("dbacdbac")
    parts = SplitConfig(fraction=fraction).split(slices)
    kept = set(parts.heldout.subjects)
    assert kept == set("abcd"[-count:])
    assert kept.isdisjoint(parts.training.subjects)
    assert sorted(numbers(parts.training) + numbers(parts.heldout)) == list(range(8))
    assert parts.by_subject


@pytest.mark.parametrize(
    ("total", "gap", "ends"), [(100, 0, (80, 80)), (100, 16, (64, 80)), (5, 16, (2, 4))]
)
@pytest.mark.parametrize("names", ["one", "nobody knows", "of some nobody knows"])
def test_a_block_stays_away_from_the_training(total, gap, ends, names):
    subjects = {
        "one": ["a"] * total,
        "nobody knows": [""] * total,
        "of some nobody knows": ["", "b", *"a" * (total - 2)],
    }[names]
    parts = SplitConfig(fraction=0.2, gap=gap).split(numbered(subjects))
    assert numbers(parts.training) == list(range(ends[0]))
    assert numbers(parts.heldout) == list(range(ends[1], total))
    assert not parts.by_subject
    assert parts.describe()["left_out"] == ends[1] - ends[0]


@pytest.mark.parametrize(
    ("choices", "training", "heldout"),
    [
        ({"heldout": ["b"]}, [0, 2, 3], [1, 4]),
        ({"training": ["b", "c"]}, [1, 2, 4], [0, 3]),
        ({"training": ["c"], "heldout": ["a"]}, [2], [0, 3]),
    ],
)
def test_named_subjects_are_taken_in_place_of_a_fraction(choices, training, heldout):
    parts = SplitConfig(**choices).split(numbered("abcab"))
    assert numbers(parts.training) == training
    assert numbers(parts.heldout) == heldout
    assert parts.by_subject


@pytest.mark.parametrize(
    ("choices", "learnt", "kept"),
    [({}, [1, 3], [2]), ({"subject_names": True}, ["a", "c"], ["b"])],
)
def test_describes_both_sides_for_a_model_card(choices, learnt, kept):
    assert SplitConfig(heldout=["b"], **choices).split(numbered("abcab")).describe() == {
        "by_subject": True,
        "training": {"num_slices": 3, "num_subjects": 2, "subjects": learnt},
        "heldout": {"num_slices": 2, "num_subjects": 1, "subjects": kept},
        "left_out": 0,
    }


def test_numbers_of_a_card_leave_no_name():
    for choices in ({}, {"training": ["anna"]}):
        sides = SplitConfig(**choices).split(numbered(["bert", "anna"])).describe()
        assert "anna" not in str(sides)
        assert "bert" not in str(sides)
        assert sides["training"]["subjects"] == [1]


@pytest.mark.parametrize(
    ("choices", "subjects", "message"),
    [
        ({}, "a", "two or more, got 1"),
        ({"heldout": ["x", "a", "y"]}, "abc", "no slices of x, y; there are a, b, c"),
        ({"training": ["x"]}, "abc", "no slices of x"),
        ({"heldout": ["a", "b"]}, "abab", "no subject is left"),
        ({"training": ["a", "b"]}, "abab", "no subject is left"),
        ({"heldout": ["a"]}, ["a", ""], "nobody knows whose"),
    ],
)
def test_refuses_what_cannot_be_split(choices, subjects, message):
    with pytest.raises(ValueError, match=message) as refusal:
        SplitConfig(**choices).split(numbered(subjects))
    assert "\n" not in str(refusal.value)


def test_refuses_a_subject_on_both_sides():
    with pytest.raises(ValidationError, match="b can't be learnt from as well"):
        SplitConfig(heldout=["a", "b"], training=["b", "c"])
