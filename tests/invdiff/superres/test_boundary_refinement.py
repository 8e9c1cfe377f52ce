import dataclasses

import pytest
import torch

from invdiff.priors import GaussianPrior
from invdiff.superres.boundary_losses import losses_of
from invdiff.superres.exact import ExactConditional
from invdiff.superres.ode import SuperResolutionOde
from invdiff.superres.pairs import Pairs
from invdiff.superres.refinement import refine_boundary
from invdiff.superres.refinement_plan import Refinement
from operators import Matrix

SPREADS = torch.tensor([1.0, 0.5, 0.2, 0.1, 0.05, 0.02], dtype=torch.float64)
NUM, NOISE_VARIANCE = len(SPREADS), 4.0
# every gradient of all references: what is left is Adam's own distance from the minimum
FULL = Refinement(150, 0.3, batch_size=1000, chunk_size=1000, validation_share=0)


class ExactFlow:
    """The flow of a Gaussian posterior N(mu, diag(s)) itself, in one call far above its spread."""

    def __init__(self, spreads):
        self.spreads = spreads

    def steps_for(self, num_calls):
        return num_calls

    def __call__(self, denoise, x, sigmas):
        mean = denoise(x, torch.tensor(1e7, dtype=torch.float64))
        return mean + (self.spreads / (self.spreads + sigmas[0] ** 2)).sqrt() * (x - mean)


class Counting:
    def __init__(self, denoiser):
        self.denoiser, self.data_range, self.count = denoiser, denoiser.data_range, 0

    def __call__(self, x, sigma, y):
        self.count += len(y)
        return self.denoiser(x, sigma, y)

    def center(self, y):
        return self.denoiser.center(y)


def squared_error(image, truth):
    return ((image - truth) ** 2).sum(-1)


@pytest.fixture
def denoiser():
    prior = torch.diag(SPREADS * NOISE_VARIANCE / (NOISE_VARIANCE - SPREADS))
    identity = Matrix(torch.eye(NUM, dtype=torch.float64))
    return ExactConditional(
        GaussianPrior(torch.zeros(NUM, dtype=torch.float64), prior), identity, NOISE_VARIANCE**0.5
    )


def pairs_of(denoiser, count, generator):
    truths = denoiser.prior.sample(count, generator=generator)
    noise = torch.randn(truths.shape, generator=generator, dtype=torch.float64)
    return Pairs(truths + denoiser.noise_std * noise, truths)


def exact_ode(denoiser):
    ode = SuperResolutionOde(denoiser, "ddim", num_calls=2, sigma_max=1000.0)
    ode.integrator = ExactFlow(SPREADS)
    return ode


def start_of(generator):
    return torch.randn(NUM, generator=generator, dtype=torch.float64)


def test_exact_flow_has_the_covariance_of_the_posterior(denoiser, generator):
    y = torch.randn(1, NUM, generator=generator, dtype=torch.float64)
    boundary = start_of(generator)
    expected = denoiser.posterior_mean(y) + SPREADS.sqrt() * boundary
    # the state is centred on the prior's mean, not the posterior's, at 1000 half ranges
    torch.testing.assert_close(exact_ode(denoiser)(boundary, y), expected, atol=2e-3, rtol=0)


def test_squared_error_leads_to_the_mean_error_of_the_posterior_mean(denoiser, generator):
    references, ode = pairs_of(denoiser, 30, generator), exact_ode(denoiser)
    start = start_of(generator)
    result = refine_boundary(ode, references, start, squared_error, FULL, generator=generator)
    first = losses_of(ode, start[None], references, squared_error).mean().item()
    assert result.minibatch_losses[0] == pytest.approx(first)
    errors = references.truths - denoiser.posterior_mean(references.measurements)
    expected = errors.mean(0) / SPREADS.sqrt()
    torch.testing.assert_close(result.x_T, expected, atol=2e-3, rtol=0)
    # the mean of R errors has 1/R of their variance: so much is gained on the references
    minimum = (errors - errors.mean(0)).square().sum(-1).mean().item()
    assert result.loss == pytest.approx(minimum, rel=1e-4)
    assert result.step == FULL.num_steps


def test_gain_on_references_is_lost_on_other_pairs(denoiser, generator):
    """Mean squared error over tr S: 1 - 1/R on R references, 1 + 1/R on others."""
    count, runs = 4, 30
    gains, losses = [], []
    ode, others = exact_ode(denoiser), pairs_of(denoiser, 1000, generator)
    zero = torch.zeros(NUM, dtype=torch.float64)
    plan = dataclasses.replace(FULL, num_steps=30)
    for _ in range(runs):
        references = pairs_of(denoiser, count, generator)
        result = refine_boundary(ode, references, zero, squared_error, plan, generator=generator)
        at_zero = losses_of(ode, zero[None], references, squared_error).mean().item()
        gains.append(at_zero - result.loss)
        losses.append(losses_of(ode, result.x_T[None], others, squared_error).mean().item())
    trace = SPREADS.sum().item()
    excess = torch.tensor(losses) - losses_of(ode, zero[None], others, squared_error).mean()
    for change in (torch.tensor(gains), excess):
        error = 4.5 * change.std().item() / runs**0.5
        assert change.mean().item() == pytest.approx(trace / count, abs=error)


def test_few_steps_of_a_solver_are_refined_as_the_linear_map_they_are(denoiser, generator):
    """Of a linear h the minimum is known from least squares, whatever the error of the solver."""
    references = pairs_of(denoiser, 20, generator)
    ode = SuperResolutionOde(denoiser, "ddim", num_calls=4, sigma_max=3.0)
    result = refine_boundary(
        ode, references, start_of(generator), squared_error, FULL, generator=generator
    )
    y, truths = references
    offset = ode(torch.zeros(NUM, dtype=torch.float64), y)
    columns = torch.stack([(ode(e, y) - offset)[0] for e in torch.eye(NUM, dtype=torch.float64)], 1)
    expected = torch.linalg.solve(columns, (truths - offset).mean(0))
    torch.testing.assert_close(result.x_T, expected, atol=5e-3, rtol=0)


def test_sphere_keeps_the_norm_and_finds_the_least_spread_direction(denoiser, generator):
    """On the sphere of radius sqrt(n) the excess x' S x is least along the smallest variance."""
    # errors of mean zero: with each pair its mirror image
    y, truths = pairs_of(denoiser, 10, generator)
    references = Pairs(torch.cat([y, -y]), torch.cat([truths, -truths]))
    plan = dataclasses.replace(FULL, num_steps=300, shell="sphere")
    result = refine_boundary(
        exact_ode(denoiser), references, start_of(generator), squared_error, plan,
        generator=generator,
    )  # fmt: skip
    assert result.x_T.norm().item() == pytest.approx(NUM**0.5)
    assert result.x_T[-1].abs().item() == pytest.approx(NUM**0.5, rel=1e-3)


def test_gradient_is_the_same_in_chunks_and_with_checkpoints(denoiser, generator):
    references, start = pairs_of(denoiser, 12, generator), start_of(generator)
    ode = SuperResolutionOde(denoiser, "ddim", num_calls=3)
    plan = Refinement(5, batch_size=7, chunk_size=7, validation_interval=2)
    results = [
        refine_boundary(
            ode, references, start, squared_error, changed,
            generator=torch.Generator().manual_seed(1),
        )
        for changed in (
            plan,
            dataclasses.replace(plan, chunk_size=2),
            dataclasses.replace(plan, checkpointed=True),
        )
    ]  # fmt: skip
    assert ode.denoiser is denoiser
    for result in results[1:]:
        torch.testing.assert_close(result.x_T, results[0].x_T)
        assert result.minibatch_losses == pytest.approx(results[0].minibatch_losses)


def held_for_backward(denoiser, plan, generator):
    """Numbers that the graphs of one step hold."""
    sizes = []

    def pack(tensor):
        sizes.append(tensor.numel())
        return tensor

    references, start = pairs_of(denoiser, 8, generator), start_of(generator)
    ode = SuperResolutionOde(denoiser, "ddim", num_calls=10)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        refine_boundary(ode, references, start, squared_error, plan, generator=generator)
    return sum(sizes)


def test_checkpoints_hold_fewer_numbers(denoiser, generator):
    plan = Refinement(1, validation_share=0)
    plain = held_for_backward(denoiser, plan, generator)
    saving = held_for_backward(denoiser, dataclasses.replace(plan, checkpointed=True), generator)
    # per call x, y and sigma, and little around it, instead of all that happens in a denoiser
    assert saving < 0.6 * plain


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize(("share", "batch_size"), [(0, 5), (0.25, 5), (0.25, 50)])
def test_calls_are_those_of_the_network_plus_two_for_each_backward_pass(
    denoiser, generator, checkpointed, share, batch_size
):
    counting, count = Counting(denoiser), 11
    ode = SuperResolutionOde(counting, "ddim", num_calls=3)
    plan = Refinement(
        7, batch_size=batch_size, chunk_size=2, checkpointed=checkpointed,
        validation_share=share, validation_interval=3,
    )  # fmt: skip
    references = pairs_of(denoiser, count, generator)
    result = refine_boundary(
        ode, references, start_of(generator), squared_error, plan, generator=generator
    )
    used = min(batch_size, count - plan.num_validation(count))
    backward = 2 * plan.num_steps * used * ode.num_calls
    assert result.num_calls == plan.calls(count, 3) == counting.count + backward


@pytest.mark.parametrize("checkpointed", [False, True])
def test_steps_within_a_budget_use_it_up(checkpointed):
    plan = Refinement(batch_size=8, checkpointed=checkpointed)
    budget = 100 * 60 * 5
    steps = plan.steps_within(budget, 60, 5)
    used = [dataclasses.replace(plan, num_steps=n).calls(60, 5) for n in (steps, steps + 1)]
    assert used[0] <= budget < used[1]
    assert plan.steps_within(used[0], 60, 5) == steps


def test_validation_keeps_the_start_when_the_steps_only_make_it_worse(denoiser, generator):
    references, ode = pairs_of(denoiser, 20, generator), exact_ode(denoiser)
    minimum = refine_boundary(
        ode, references, start_of(generator), squared_error, FULL, generator=generator
    ).x_T
    # from the minimum, a step of 10 in each direction
    plan = Refinement(1, 10.0, batch_size=1, validation_share=0.5)
    result = refine_boundary(ode, references, minimum, squared_error, plan, generator=generator)
    assert result.step == 0
    torch.testing.assert_close(result.x_T, minimum)
    mean = (10 * result.loss + 10 * result.validation_loss) / 20
    whole = losses_of(ode, minimum[None], references, squared_error).mean().item()
    assert mean == pytest.approx(whole)


def test_refined_boundary_and_its_start_share_nothing(denoiser, generator):
    start = start_of(generator)
    before = start.clone()
    references = pairs_of(denoiser, 5, generator)
    plan = Refinement(2, validation_share=0)
    result = refine_boundary(
        exact_ode(denoiser), references, start, squared_error, plan, generator=generator
    )
    assert torch.equal(start, before)
    assert not result.x_T.requires_grad


@pytest.mark.parametrize(
    "change",
    [
        {"num_steps": 0},
        {"learning_rate": 0.0},
        {"batch_size": 0},
        {"chunk_size": 0},
        {"validation_interval": 0},
        {"validation_share": 1.0},
        {"shell": "cube"},
    ],
)
def test_refinement_rejects_numbers_out_of_range(change):
    with pytest.raises(ValueError, match="Refinement"):
        Refinement(**change)


def test_refinement_rejects_what_it_cannot_work_with(denoiser, generator):
    with pytest.raises(ValueError, match="too few"):
        Refinement().steps_within(10, 60, 5)
    references, ode = pairs_of(denoiser, 5, generator), exact_ode(denoiser)
    empty = Pairs(*(part[:0] for part in references))
    with pytest.raises(ValueError, match="at least one pair"):
        refine_boundary(ode, empty, start_of(generator), squared_error, FULL, generator=generator)
    with pytest.raises(ValueError, match="not finite"):
        refine_boundary(
            ode, references, start_of(generator), lambda x, z: x.sum(-1) / 0, FULL,
            generator=generator,
        )  # fmt: skip
