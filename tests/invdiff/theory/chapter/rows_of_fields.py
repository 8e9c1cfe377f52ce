"""Denoisers, velocities and chains: what rests on their formulas."""

from __future__ import annotations

from wrong_formulas import (
    Break,
    Row,
    always,
    field_scaled,
    heun_as_euler,
    less_noise,
    part_scaled,
    scaled,
)

ROWS = [
    Row(
        "denoiser",
        (Break("priors.gaussian", "GaussianMixturePrior.__call__", scaled(0.9)),),
        """
        adaptive-solver-tolerance ancestral-variance-order annealed-dps-too-weak
        classifier-free-fokker-planck classifier-free-mean classifier-free-score
        classifier-free-spread classifier-free-tilt-without-noise consistency-function
        daps-square-root-of-the-prior ddim-order-one denoiser-is-a-gradient denoiser-slope-bound
        diffused-posterior-score divergence-in-time dpm-solver-order-two
        dpm-solver-plus-plus-order-two dps-drops-covariance empirical-denoiser-memorises
        ensemble-kernel-invariant evidence-lower-bound evidence-unbiased experts-make-one-flow
        gap-of-the-bound-falls-with-the-steps gradient-of-red-diff guided-laws heun-order-two
        information-from-denoising-errors intrinsic-dimension log-evidence-biased
        moment-matching-exact optimal-reverse-variance parametric-rate pigdm-assumed-variance
        red-diff-fixed-point replacement-biased samples-are-no-data score-of-a-subspace
        size-of-the-score straight-paths-one-step student-noise-denoiser
        student-noise-is-not-tweedie tweedie tweedie-second-order twisted-mode-weights
        unipc-order-three
        """,
    ),
    Row(
        "density",
        (Break("priors.gaussian", "GaussianMixturePrior.log_prob", scaled(1.1)),),
        """
        classifier-free-fokker-planck classifier-free-score denoiser-is-a-gradient
        diffused-posterior-score divergence-in-time end-of-the-prior experts-make-one-flow
        mixture-evidence optimal-reverse-variance plug-in-divergence stein-unbiased-risk
        student-noise-denoiser student-noise-density student-noise-is-not-tweedie tweedie
        tweedie-second-order
        """,
        whole=True,
    ),
    Row(
        "posterior",
        (
            Break("priors.gaussian", "observation", part_scaled(0, 1.1)),
            Break("theory.diffused", "log_evidence", scaled(1.1)),
        ),
        """
        diffused-posterior-score gaussian-posterior guided-laws linear-reward-tilt
        mixture-evidence mixture-posterior-weights three-decibels
        """,
    ),
    Row(
        "structured-denoisers",
        (
            Break("priors.subspace", "SubspacePrior.__call__", scaled(0.9)),
            Break("priors.ar1_volume", "AR1VolumePrior.__call__", scaled(0.9)),
            Break("priors.routing", "combined", scaled(0.9)),
        ),
        """
        experts-make-one-flow noise-of-its-own-for-each-slice pinned-slices-conditional
        score-of-a-subspace
        """,
    ),
    Row(
        "labels",
        (Break("priors.pretrained", "PretrainedPrior.forward", scaled(0.9)),),
        """
        classifier-free-mean classifier-free-score classifier-free-spread
        classifier-free-tilt-without-noise
        """,
    ),
    Row(
        "student-noise",
        (
            Break("priors.pfgm_gaussian", "StudentDenoiser.__call__", scaled(0.9)),
            Break("priors.pfgm_gaussian", "StudentDenoiser.log_prob", scaled(1.01)),
            Break("priors.pfgm_atoms", "StudentAtoms.__call__", scaled(0.9)),
            Break("priors.pfgm", "student_divergence", scaled(1.01)),
            Break("training.perturbation", "StudentPerturbation.sample", scaled(1.05)),
        ),
        """
        divergence-of-student-noise law-of-the-radius limit-of-student-noise
        posterior-of-atoms-under-student-noise student-noise-denoiser student-noise-density
        student-noise-is-not-tweedie
        """,
    ),
    Row(
        "parametrisations",
        (
            Break("priors.preconditioning", "EDM.denoise", scaled(0.99)),
            Break("training.objective", "Objective.losses", scaled(1.1)),
        ),
        """
        one-minimum-of-all-objectives parametrisations-of-networks
        """,
    ),
    Row(
        "velocity",
        (
            Break("interpolants.closed_form", "ClosedFormProcess.velocity", scaled(0.95)),
            Break("interpolants.closed_form", "ClosedFormProcess.both", part_scaled(0, 0.95)),
        ),
        """
        annealed-reflow any-epsilon-gaussian-marginals euler-maruyama-strong-order
        euler-maruyama-weak-order flow-likelihood flow-map-eulerian flow-map-lagrangian
        flow-map-semigroup fokker-planck-any-epsilon gaussian-flow-map girsanov-kl
        interpolant-solver-orders one-step-before-reflow one-step-distillation reflow-cost-falls
        reflow-cost-of-gaussians reflow-cost-on-the-line reverse-sde-of-a-gaussian
        schedule-conversion schroedinger-bridge-is-optimal schroedinger-energy
        schroedinger-marginals stochastic-heun-weak-order straightness-of-a-flow
        transport-equation velocity-is-a-conditional-mean velocity-score-noise
        """,
    ),
    Row(
        "score",
        (Break("interpolants.closed_form", "ClosedFormProcess.both", part_scaled(1, 1.1)),),
        """
        any-epsilon-gaussian-marginals best-amount-of-noise euler-maruyama-strong-order
        euler-maruyama-weak-order fokker-planck-any-epsilon girsanov-bound-constant-error
        reverse-sde-of-a-gaussian schroedinger-bridge-is-optimal schroedinger-energy
        schroedinger-marginals stochastic-heun-weak-order
        """,
    ),
    Row(
        "conversions",
        (
            Break("interpolants.conversions", "one_sided_target", scaled(1.1)),
            Break("interpolants.conversions", "noise_from_score", scaled(1.1)),
            Break("interpolants.losses", "interpolant_loss", scaled(1.1)),
        ),
        """
        denoising-score-matching parametrisations-of-flows schedule-conversion
        velocity-score-noise
        """,
    ),
    Row(
        "divergence",
        (
            Break("interpolants.divergence", "exact_divergence", part_scaled(1, 1.1)),
            Break("interpolants.likelihood", "ode_log_prob", scaled(0.9)),
            Break("interpolants.divergence", "HutchinsonDivergence.__call__", part_scaled(1, 1.2)),
        ),
        """
        change-of-volume flow-likelihood hutchinson-is-unbiased hutchinson-variance-gaussian
        hutchinson-variance-signs ode-has-no-such-bound stein-unbiased-risk
        """,
    ),
    Row(
        "ode-steps",
        (Break("interpolants.integrators", "integrate_ode", heun_as_euler),),
        """
        change-of-volume interpolant-solver-orders reflow-cost-falls reflow-cost-of-gaussians
        reflow-cost-on-the-line
        """,
    ),
    Row(
        "adaptive-steps",
        (Break("interpolants.dopri5", "integrate_dopri5", always(rtol=1e-2, atol=1e-2)),),
        """
        adaptive-solver-tolerance flow-likelihood flow-map-inverse flow-map-semigroup
        gaussian-flow-map ode-has-no-such-bound
        """,
    ),
    Row(
        "sde-noise",
        (Break("interpolants.sde", "integrate_sde", less_noise),),
        """
        any-epsilon-gaussian-marginals any-epsilon-mixture-samples euler-maruyama-strong-order
        euler-maruyama-weak-order girsanov-bound girsanov-kl reverse-sde-of-a-gaussian
        stochastic-heun-weak-order
        """,
        whole=True,
    ),
    Row(
        "sde-steps",
        (Break("interpolants.sde", "integrate_sde", always(method="euler")),),
        """
        any-epsilon-gaussian-marginals reverse-sde-of-a-gaussian stochastic-heun-weak-order
        """,
    ),
    Row(
        "point-source",
        (Break("interpolants.point_source", "PointSource.own_epsilon", scaled(1.2)),),
        """
        point-source-gives-the-conditional-law
        """,
    ),
    Row(
        "kl",
        (Break("interpolants.kl_bounds", "kl_on_grid", scaled(1.1)),),
        """
        divergence-in-time end-of-the-prior ode-has-no-such-bound
        """,
    ),
    Row(
        "error-bounds",
        (
            Break("interpolants.kl_bounds", "FieldErrors.drift_bound", scaled(0.5)),
            Break("interpolants.kl_bounds", "FieldErrors.best_constant", scaled(1.1)),
        ),
        """
        best-amount-of-noise girsanov-bound girsanov-bound-constant-error
        """,
    ),
    Row(
        "chains",
        (Break("interpolants.bridge_sampler", "bridge_kernel", field_scaled("std", 1.1)),),
        """
        bbdm-without-fresh-noise gap-of-the-bound-falls-with-the-steps kernels-of-bbdm-compose
        kernels-of-i2sb-compose optimal-reverse-variance shifted-diffusion
        """,
    ),
    Row(
        "schroedinger-bridge",
        (Break("interpolants.schroedinger_gaussian", "_root", scaled(1.05)),),
        """
        bures-distance schroedinger-bridge-is-optimal schroedinger-energy schroedinger-system
        schroedinger-without-noise
        """,
    ),
    Row(
        "reflow",
        (
            Break("interpolants.rectified_flow", "ReflowedGaussian.velocity", scaled(0.95)),
            Break("interpolants.rectified_flow", "transport_cost", scaled(1.1)),
        ),
        """
        one-step-after-reflow one-step-distillation reflow-cost-falls reflow-cost-of-gaussians
        reflow-cost-on-the-line straightness-of-a-flow
        """,
    ),
]
