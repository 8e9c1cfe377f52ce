"""
Scans of CT: parallel, fan, short, limited
==========================================

A sinogram holds one line integral of the attenuation for each view and detector element. Which
lines are measured decides what can be reconstructed. One slice is scanned in four geometries and
inverted by filtered back-projection; then views are taken away, from the end of the arc and from
its inside.
"""

import math

import matplotlib.pyplot as plt
import torch

from invdiff.data import MU_WATER, fill, hu_to_mu, mu_to_hu, read_dicom, sample_path
from invdiff.metrics import psnr
from operators import (
    FanBeam2D,
    FanGeometry,
    ImageGrid,
    ParallelBeam2D,
    ParallelGeometry,
    filtered_backprojection,
)
from operators.fourier import fft

image = fill(read_dicom(sample_path("sts-044")).middle(), 128)
truth = torch.from_numpy(hu_to_mu(image.values[0])).float()  # 1/mm
grid = ImageGrid((128, 128), image.spacing[1:])


def show(axis, values, title):
    """Show an image in HU with one window for all."""
    axis.imshow(mu_to_hu(values.numpy()), cmap="gray", vmin=-1000, vmax=600)
    axis.set_title(title, fontsize=10)
    axis.axis("off")


def decibels(values):
    """PSNR over the range of the bundled CT prior, -1000 to 1500 HU."""
    return float(psnr(values, truth, data_range=2.5 * MU_WATER))


# %%
# Four geometries, four sinograms
# -------------------------------
# Parallel rays see every line after half a turn. From a point source each view is a fan, and a full
# turn measures every line twice, from both ends. The short scan, half a turn and the fan angle,
# measures some lines twice; filtered back-projection weighs them so that each counts once
# :cite:p:`parker1982`. The last scan stops after 120 degrees. No noise is added.

fan = FanGeometry.covering(grid, 360, source_to_axis=500.0, source_to_detector=1000.0)
short = fan.short_scan(240)
third = ParallelGeometry.covering(grid, 120, arc=2 * math.pi / 3)
scans = {
    "parallel, 180°": ParallelBeam2D(grid, ParallelGeometry.covering(grid, 180)),
    "fan, full turn": FanBeam2D(grid, fan),
    "fan, short scan": FanBeam2D(grid, short),
    "parallel, 120°": ParallelBeam2D(grid, third),
}
step = short.angles[1] - short.angles[0]
print(f"short scan: {math.degrees(step * len(short.angles)):.0f} degrees")

figure, axes = plt.subplots(2, 4, figsize=(11, 6), layout="constrained")
for (name, scan), (above, below) in zip(scans.items(), axes.T, strict=True):
    sinogram = scan(truth)
    views, detectors = sinogram.shape
    above.imshow(sinogram.numpy(), cmap="gray", aspect="auto", vmin=0, vmax=7)
    above.set(title=f"{name}\n{views} x {detectors}", xlabel="detector", ylabel="view")
    back = filtered_backprojection(scan, sinogram)
    show(below, back, f"FBP, {decibels(back):.1f} dB")
    print(f"{name}: {decibels(back):.1f} dB")

# %%
# A missing wedge
# ---------------
# Each parallel view is one line through the origin of the image's Fourier transform (the
# projection-slice theorem). Where the arc ends, a wedge of frequencies was never measured: edges
# along the missing rays disappear and streaks run along the last ones. The lower row is the Fourier
# transform of each result, on a logarithmic scale; the wedge opens as the arc shrinks. (The bright
# cross belongs to the edge at which the field of view cuts the body.) Values fall as well, since
# views are missing from the sum: filtered back-projection takes the wedge as zero. The ramp filter
# has no window here (above it had Hann's), so that the spectrum is not damped.

figure, axes = plt.subplots(2, 4, figsize=(11, 6), layout="constrained")
for arc, (above, below) in zip((180, 150, 120, 90), axes.T, strict=True):
    geometry = ParallelGeometry.covering(grid, arc, arc=math.radians(arc))
    scan = ParallelBeam2D(grid, geometry)
    back = filtered_backprojection(scan, scan(truth), window="ramp")
    show(above, back, f"{arc}°, {decibels(back):.1f} dB")
    spectrum = fft(back.to(torch.complex64), (-2, -1)).abs()
    below.imshow(spectrum.log10().numpy(), cmap="gray", vmin=-4, vmax=-1)
    below.axis("off")
    print(f"arc of {arc} degrees: {decibels(back):.1f} dB")

# %%
# Few views
# ---------
# Views missing from the inside of the arc leave gaps between the lines of Fourier space that widen
# outwards. The result has streaks everywhere instead of lost edges. The number of views that a
# slice of n pixels needs is about :math:`\pi n / 2`, here 201.

figure, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
for views, axis in zip((180, 60, 30, 15), axes, strict=True):
    scan = ParallelBeam2D(grid, ParallelGeometry.covering(grid, views))
    back = filtered_backprojection(scan, scan(truth))
    show(axis, back, f"{views} views, {decibels(back):.1f} dB")
    print(f"{views} views: {decibels(back):.1f} dB")
