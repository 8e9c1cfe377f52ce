"""Steps, guidance and graphs: what rests on their formulas."""

from __future__ import annotations

from wrong_formulas import (
    Break,
    Row,
    argument_scaled,
    field_scaled,
    last_node_apart,
    not_centred,
    not_extrapolated,
    other_exponent,
    overshooting,
    part_scaled,
    scaled,
    too_long,
    triangles_forgotten,
    worst_first,
)

ROWS = [
    Row(
        "heun-step",
        (Break("samplers.heun", "heun_step", overshooting),),
        """
        boundary-map boundary-risk consistency-function empirical-denoiser-memorises
        heun-order-two karras-grid-error pinned-slices-conditional samples-are-no-data
        straight-paths-one-step
        """,
    ),
    Row(
        "noise-grid",
        (Break("samplers.base", "karras_sigmas", other_exponent),),
        """
        karras-grid
        """,
    ),
    Row(
        "ancestral-noise",
        (Break("samplers.descent", "kept_noise", part_scaled(0, 0.9)),),
        """
        ancestral-noise ancestral-variance-order guided-laws replacement-biased
        twisted-mode-weights
        """,
        whole=True,
    ),
    Row(
        "guidance",
        (
            Break("likelihood", "Likelihood.quadratic_score", scaled(0.8)),
            Break("samplers.pigdm", "isotropic_pull", argument_scaled(3, 1.5)),
            Break("samplers.moment_matching", "_solved", part_scaled(0, 0.9)),
            Break("theory.diffused", "DiffusedPosterior.guidance_score", scaled(0.9)),
        ),
        """
        annealed-dps-too-weak daps-square-root-of-the-prior diffused-posterior-score
        dps-drops-covariance ensemble-kernel-invariant evidence-unbiased gradient-of-red-diff
        guided-laws langevin-exact-drift moment-matching-exact pigdm-assumed-variance
        proximal-step
        """,
    ),
    Row(
        "proximal",
        (Break("likelihood", "Likelihood.proximal", scaled(0.95)),),
        """
        pigdm-assumed-variance proximal-step red-diff-fixed-point reward-off-support
        """,
    ),
    Row(
        "other-samplers",
        (
            Break("samplers.red_diff", "snr_weight", scaled(1.2)),
            Break("samplers.ddnm", "DDNM._weights", part_scaled(0, 0.9)),
            Break("superres.selection", "_best", worst_first),
            Break("superres.analytic_init", "_mean", scaled(0.9)),
            Break("superres.boundary", "PosteriorMeanBoundary.__call__", scaled(0.9)),
        ),
        """
        best-of-n-divergence boundary-of-the-posterior-mean ddnm-range gradient-of-red-diff
        optimum-of-the-analytic-start red-diff-fixed-point
        """,
    ),
    Row(
        "euler-in-sigma",
        (Break("superres.integrators_singlestep", "_euler_step", overshooting),),
        """
        ddim-is-euler-in-sigma ddim-order-one dpm-solver-order-two straight-paths-one-step
        """,
    ),
    Row(
        "multistep",
        (Break("superres.integrators_multistep", "_Step.end", scaled(1.001)),),
        """
        classifier-free-mean classifier-free-spread dpm-solver-plus-plus-order-two
        straight-paths-one-step unipc-order-three
        """,
    ),
    Row(
        "two-calls",
        (
            Break("superres.integrators_singlestep", "Heun._step", too_long),
            Break("superres.integrators_singlestep", "DPMSolver2._step", too_long),
        ),
        """
        boundary-map boundary-risk dpm-solver-order-two heun-order-two karras-grid-error
        straight-paths-one-step
        """,
    ),
    Row(
        "langevin",
        (
            Break("samplers.particle_data", "GeneralData.langevin", scaled(0.95)),
            Break("samplers.particle_data", "LinearData.langevin", scaled(0.95)),
            Break("samplers.rejuvenation", "langevin", scaled(0.95)),
        ),
        """
        ensemble-kernel-invariant ensemble-rate ensemble-two-terms evidence-unbiased
        langevin-exact-drift langevin-stationary-variance log-evidence-biased
        """,
    ),
    Row(
        "graph-schedules",
        (
            Break("graphs.schedules", "_LinearBeta.integral", scaled(1.1)),
            Break("graphs.schedules", "VE.std", scaled(1.05)),
        ),
        """
        graph-schedules-keep-their-promise partial-scores-of-gaussian-graphs splitting-order
        system-restores-the-law
        """,
    ),
    Row(
        "partial-scores",
        (Break("graphs.gaussian_graphs", "GaussianGraphs.__call__", field_scaled("nodes", 1.1)),),
        """
        exponential-sde-order partial-scores-of-gaussian-graphs
        sides-apart-lose-their-information splitting-order system-restores-the-law
        """,
    ),
    Row(
        "graph-sdes",
        (
            Break("graphs.exponential", "_extrapolated", not_extrapolated),
            Break("graphs.integrator", "transition_variance", scaled(0.9)),
            Break("graphs.reverse_sde", "EulerMaruyama._variance", scaled(0.9)),
        ),
        """
        exponential-sde-order splitting-order system-restores-the-law
        """,
    ),
    Row(
        "graph-symmetry",
        (
            Break("graphs.convolution", "normalized", last_node_apart),
            Break("graphs.state", "normal_noise", not_centred),
            Break("graphs.orbits", "orbit_counts", triangles_forgotten),
        ),
        """
        networks-follow-a-renumbering noise-of-pairs orbit-counts system-restores-the-law
        """,
    ),
    Row(
        "linear-systems",
        (
            Break("linalg", "ratio", scaled(0.9)),
            Break("linalg", "operator_norm", scaled(0.9)),
        ),
        """
        annealed-dps-too-weak conjugate-gradients-bound conjugate-gradients-distinct-eigenvalues
        evidence-unbiased guided-laws log-evidence-biased moment-matching-exact
        power-iteration-rate
        """,
    ),
]
