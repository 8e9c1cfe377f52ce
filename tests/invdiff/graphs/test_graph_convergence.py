"""What integrators find on Gaussian graphs, where the truth is known."""

import math

import pytest
import torch
from gaussian_runs import coordinates, exact_moments, random_graphs

from invdiff.graphs.corrector import Langevin, PredictorCorrector
from invdiff.graphs.exponential import Exponential
from invdiff.graphs.flow_ode import GraphHeun
from invdiff.graphs.gaussian_graphs import GaussianGraphs
from invdiff.graphs.reverse_sde import EulerMaruyama, ReverseDiffusion
from invdiff.graphs.schedules import VE, VP, SubVP
from invdiff.graphs.splitting import Splitting
from invdiff.graphs.system import GraphSystem
from invdiff.rng import problem_streams

MIXES = [(VP(), VE(0.2, 1.0)), (SubVP(0.2, 2.0), VP()), (VP(0.1, 4.0), VP(0.1, 4.0))]
# those of the published settings
PUBLISHED = [(VP(), VP()), (VP(), VE(0.2, 1.0)), (VE(), VE()), (VP(), VP(0.2, 0.8))]
END = 0.01
STANDARD_ERRORS = 4.5


def covariance_errors(make, mix, counts) -> tuple[list[float], list[float]]:
    graphs = random_graphs(*mix)
    mean, covariance = graphs.marginal(torch.tensor(END, dtype=torch.float64))
    runs = [exact_moments(make(count), graphs) for count in counts]
    means = [(found - mean).abs().max().item() for found, _ in runs]
    return means, [torch.linalg.norm(found - covariance).item() for _, found in runs]


ORDERS = {
    "Euler-Maruyama": (1, lambda n: EulerMaruyama(n, END, denoise=False)),
    "reverse diffusion": (1, lambda n: ReverseDiffusion(n, END, denoise=False)),
    "splitting": (1, lambda n: Splitting(n, END, denoise=False, corrector=None)),
    "GraphHeun": (2, lambda n: GraphHeun(n, END, denoise=False)),
    "exponential ODE": (2, lambda n: Exponential(n, END, denoise=False)),
    "exponential half": (2, lambda n: Exponential(n, END, noise=0.5, denoise=False)),
    "exponential SDE": (2, lambda n: Exponential(n, END, noise=1.0, denoise=False)),
}


@pytest.mark.parametrize("mix", MIXES, ids=str)
@pytest.mark.parametrize("name", ORDERS)
def test_moments_converge_with_the_order_of_the_method(name, mix):
    order, make = ORDERS[name]
    counts = (40, 80)
    means, covariances = covariance_errors(make, mix, counts)
    assert math.log2(covariances[0] / covariances[1]) == pytest.approx(order, abs=0.2)
    # some methods follow the mean exactly
    if means[1] > 1e-12:
        assert math.log2(means[0] / means[1]) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("mix", PUBLISHED, ids=str)
def test_100_calls_of_the_exponential_ode_beat_1000_of_the_first_order(mix):
    _, (ours,) = covariance_errors(ORDERS["exponential ODE"][1], mix, [100])
    for name in ("Euler-Maruyama", "reverse diffusion", "splitting"):
        # the error falls as 1 / n, see the test of the orders
        _, (theirs,) = covariance_errors(ORDERS[name][1], mix, [50])
        assert ours < theirs * 50 / 1000


# variance .25 of the data: final variances with the published kernel and the exact one
FIGURES = {10: (0.2264, 0.2311), 100: (0.24737, 0.24786), 1000: (0.24973, 0.24978)}


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("steps", FIGURES)
def test_splitting_has_the_known_variances_with_both_kernels(steps, exact):
    centre, quarter = torch.zeros(1), torch.full((1, 1), 0.25)
    graphs = GaussianGraphs(centre, quarter, 1, 1, GraphSystem(VP(), VP()))
    splitting = Splitting(steps, 1e-9, False, corrector=None, exact_backward=exact)
    _, variance = exact_moments(splitting, graphs, num_draws=2 * steps)
    # the figures are known to so many digits
    unit = 1e-4 if steps == 10 else 1e-5
    assert variance.item() == pytest.approx(FIGURES[steps][exact], abs=unit)


def test_kernels_of_splitting_agree_without_a_drift():
    graphs = random_graphs(VE(), VE(0.2, 1.0))
    runs = [
        exact_moments(Splitting(5, corrector=None, exact_backward=exact), graphs)
        for exact in (False, True)
    ]
    torch.testing.assert_close(runs[0], runs[1])


SAMPLED = [
    PredictorCorrector(EulerMaruyama(60, END, denoise=False), Langevin(0.02, 1.0)),
    Splitting(100, END, denoise=False, corrector=None),
    Exponential(20, END, noise=1.0, denoise=False),
]


def largest_errors(integrator, count: int) -> tuple[float, float]:
    """Return the errors of sampled mean and covariance, in standard errors."""
    graphs, generator = random_graphs(*MIXES[0]), torch.Generator().manual_seed(0)
    start = graphs.sample(count, torch.ones(()), generator=generator)
    found = coordinates(integrator.run(graphs, start, problem_streams(generator, count, ())))
    mean, covariance = graphs.marginal(torch.tensor(END, dtype=torch.float64))
    std = covariance.diagonal().sqrt()
    spread = (std.outer(std) ** 2 + covariance**2).sqrt() / count**0.5
    errors = (found.mean(0) - mean) / std * count**0.5, (found.T.cov() - covariance) / spread
    return errors[0].abs().max().item(), errors[1].abs().max().item()


@pytest.mark.parametrize("integrator", SAMPLED, ids=str)
def test_samples_have_the_moments_of_the_graphs(integrator):
    assert max(largest_errors(integrator, 600)) < STANDARD_ERRORS


def test_langevin_steps_from_norms_bias_the_covariance_of_small_graphs():
    predictor = EulerMaruyama(60, END, denoise=False)
    biased = PredictorCorrector(predictor, Langevin(0.1, 1.0))
    mean, covariance = largest_errors(biased, 600)
    assert mean < STANDARD_ERRORS
    assert covariance > 2 * STANDARD_ERRORS
