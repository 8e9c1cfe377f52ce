import pytest
import torch

from invdiff.rng import derive_generator, draw_seeds, problem_streams


def draw(generator):
    return torch.rand((), generator=generator).item()


def test_streams_depend_on_every_label_and_on_nothing_else():
    assert draw(derive_generator(0, "noise", 1)) == draw(derive_generator(0, "noise", 1))
    labels = [(0, "noise"), (1, "noise"), (0, "mask"), (0, "noise", 0), (0, "noise", "0")]
    assert len({draw(derive_generator(*label)) for label in labels}) == len(labels)


def test_the_first_seeds_do_not_depend_on_the_count(generator):
    other = torch.Generator().manual_seed(generator.initial_seed())
    assert draw_seeds(generator, 5)[:2] == draw_seeds(other, 2)


def test_a_sample_does_not_depend_on_how_many_are_drawn():
    few = problem_streams(derive_generator(3), 2, (3,)).normal((4,), torch.zeros(()))
    many = problem_streams(derive_generator(3), 5, (3,)).normal((4,), torch.zeros(()))
    assert torch.equal(few, many[:2])


def test_a_problem_in_a_batch_gets_the_stream_it_has_alone():
    like = torch.zeros((), dtype=torch.complex64)
    batch = problem_streams([derive_generator(0, p) for p in range(3)], 2, (3,)).normal((4,), like)
    for p in range(3):
        alone = problem_streams(derive_generator(0, p), 2, ()).normal((4,), like)
        assert torch.equal(batch[:, p], alone)


def test_draws_are_independent_standard_normals():
    z = problem_streams(derive_generator(0), 400, ()).normal((50,), torch.zeros(()).double())
    assert z.dtype == torch.float64
    # 20000 draws: four standard errors
    assert abs(z.mean()) < 4 / 20000**0.5
    assert abs(z.var() - 1) < 4 * (2 / 20000) ** 0.5
    assert torch.corrcoef(z[:, :2].T)[0, 1].abs() < 4 / 400**0.5


def test_integers_cover_their_range():
    streams = problem_streams(derive_generator(0), 200, ())
    levels = streams.uniform_integers(3, torch.device("cpu"))
    assert levels.shape == (200,)
    assert set(levels.tolist()) == {0, 1, 2}


def test_refuses_no_samples_and_another_number_of_generators():
    with pytest.raises(ValueError, match="at least 1"):
        problem_streams(derive_generator(0), 0, ())
    with pytest.raises(ValueError, match="expected one generator or 3, got 2"):
        problem_streams([derive_generator(0)] * 2, 1, (3,))
