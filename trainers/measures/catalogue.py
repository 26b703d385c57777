"""What every metric of ours is called in words, its unit, its formula and its source: the one place that says so.

A metric is reported under its name by what measures it. Here it is only described, for the reference page, captions and
people. `tests/trainers/test_metrics.py` holds that none is left out. Knows nothing of how one is computed.
"""

from __future__ import annotations

from typing import NamedTuple

REPORT = "the report"
TIAN = "Tian et al. 2021, arXiv:2102.06810"
TREE = "Tian et al. 2020, arXiv:2010.00578, §6"
VICREG = "Bardes et al. 2022, arXiv:2105.04906"


class Metric(NamedTuple):
    """A number that trials report."""

    words: str
    """Its name for a reader, without its unit."""
    unit: str
    """"share" lies in [0, 1] and is printed in percent where it is an accuracy; "1" has no unit."""
    formula: str
    source: str = ""
    """Whose definition it is; empty: ours."""


_TRAINING = {
    "train/loss": Metric("training loss", "1", "mean of the method's loss over the steps of the epoch"),
    "train/lr": Metric("learning rate", "1", "of the first group of weights, at the last step of the epoch"),
    "dynamics/time": Metric("time of the gradient flow", "1", "t = Σ lr / (1 - μ) over all steps, μ SGD's momentum; in the theory's trainers its own t", TIAN),
    "time/epoch_s": Metric("duration of an epoch", "s", "wall clock, without measuring"),
    "time/images_per_s": Metric("speed", "images/s", "training images of the epoch / time/epoch_s"),
}  # fmt: skip
_ACCURACY = {
    "probe/top1": Metric("top-1 accuracy of a linear probe", "share", "share of test images whose class a linear classifier on frozen features h puts first", f"{REPORT}, §4"),
    "probe/top5": Metric("top-5 accuracy of a linear probe", "share", "the same, among the first five", REPORT),
    "probe/train_top1": Metric("top-1 accuracy of a linear probe on its training images", "share", "as probe/top1, on the training images"),
    "probe/train_loss": Metric("training loss of a linear probe", "nats", "mean cross-entropy on the training images, at the end"),
    "probe/best_top1": Metric("best top-1 accuracy of a linear probe", "share", "largest probe/top1 after any of the probe's epochs: chosen on the test set, so too good; only with probe.best", "luckmatters"),
    "knn/top1": Metric("top-1 accuracy of nearest neighbours", "share", "the k nearest training features by cosine vote, each with e^(cos/T)", "Wu et al. 2018, arXiv:1805.01978"),
}  # fmt: skip
_CORRUPTED = "CIFAR-10-C's corruptions, Hendrycks and Dietterich 2019, arXiv:1903.12261"
_EVALUATION = {
    "evaluation/top1": Metric("top-1 accuracy of an evaluation", "share", "share of test images whose class the protocol puts first; tables call it by the evaluation's name, such as few/top1"),
    "evaluation/top5": Metric("top-5 accuracy of an evaluation", "share", "the same, among the first five"),
    "evaluation/train_top1": Metric("top-1 accuracy of an evaluation on its training images", "share", "as evaluation/top1, on the images that it was trained with"),
    "evaluation/train_loss": Metric("training loss of an evaluation", "nats", "mean cross-entropy on the training images: of fine_tune in the last epoch, of a linear probe at the end"),
    "evaluation/best_top1": Metric("best top-1 accuracy of an evaluation", "share", "largest evaluation/top1 after any epoch: chosen on the test set, so too good; only with probe.best"),
    "evaluation/clean_top1": Metric("top-1 accuracy without corruption", "share", "of a linear probe; evaluation/top1 is then the mean over kinds and severities"),
    "evaluation/noise_top1": Metric("top-1 accuracy under noise", "share", "mean over severities", _CORRUPTED),
    "evaluation/blur_top1": Metric("top-1 accuracy under blur", "share", "mean over severities", _CORRUPTED),
    "evaluation/contrast_top1": Metric("top-1 accuracy under low contrast", "share", "mean over severities", _CORRUPTED),
    "evaluation/brightness_top1": Metric("top-1 accuracy under brightness", "share", "mean over severities", _CORRUPTED),
    "evaluation/pixelate_top1": Metric("top-1 accuracy under coarse pixels", "share", "mean over severities", _CORRUPTED),
}  # fmt: skip
_EIGENSPACE = {
    "F/trace": Metric("trace of F", "1", "Σ_j λ_j, negative eigenvalues of F taken as 0: mean ‖z‖²"),
    "F/top1_share": Metric("share of the largest eigenvalue of F", "share", "λ_1 / Σ_j λ_j"),
    "F/rankme": Metric("RankMe of F", "dimensions", "exp(-Σ p_j ln p_j), p_j = √λ_j / Σ √λ; 1 to d", "Garrido et al. 2023, arXiv:2210.02885"),
    "F/effective_rank": Metric("effective rank of F", "dimensions", "exp(-Σ p_j ln p_j), p_j = λ_j / Σ λ; 1 to d", "Roy and Vetterli 2007"),
    "Wp/max": Metric("largest eigenvalue of W_p", "1", "max_j Re μ_j, μ the eigenvalues of W_p"),
    "Wp/min": Metric("smallest eigenvalue of W_p", "1", "min_j Re μ_j"),
    "Wp/alive": Metric("living eigenvalues of W_p", "eigenvalues", "#{j : Re μ_j > 0.05 max_j Re μ_j}"),
    "Wp/slope": Metric("slope of W_p's eigenvalues over F's", "1", "least squares of ln μ_j over ln λ_j, rank by rank where W_p is alive; 1/2 in theory", f"{TIAN}, eq. 7"),
    "Wp/slope_r": Metric("correlation behind that slope", "1", "Pearson's r of ln μ_j and ln λ_j"),
    "Wp/balance": Metric("balance of F and W_p", "1", "⟨F, W_pᵀW_p⟩ / (‖F‖ ‖W_pᵀW_p‖); 1 where they are proportional", f"{TIAN}, eq. 3"),
    "Wp/asymmetry_l1": Metric("asymmetry of W_p", "1", "Σ|W_p - W_pᵀ| / Σ|W_p|; 0 symmetric, 1.41 independent entries", REPORT),
    "Wp/asymmetry_fro": Metric("asymmetry of W_p, Frobenius", "1", "‖W_p - W_pᵀ‖ / ‖W_p‖; 0 symmetric, 1.41 independent entries"),
    "alignment/mean": Metric("alignment of F and W_p", "cosine", "mean over j of u_jᵀ W_p u_j / ‖W_p u_j‖, u_j the eigenvectors of F", f"{TIAN}, Figure 2"),
    "alignment/top16": Metric("alignment of the first 16 directions", "cosine", "the same, over the 16 largest λ_j"),
    "alignment/chance": Metric("alignment by chance", "cosine", "tr W_p / (√d ‖W_p‖): of a direction that knows nothing of W_p"),
    "alignment/commutator": Metric("commutator of F and W_p", "1", "‖F W_p - W_p F‖ / (‖F‖ ‖W_p‖); 0: same eigenvectors"),
}  # fmt: skip
_REPRESENTATION = {
    "std": Metric("spread on the unit sphere", "1", "mean over coordinates of the standard deviation of z/‖z‖; 1/√d is healthy, 0 collapsed", "Chen and He 2020, arXiv:2011.10566, §4.1"),
    "top1_share": Metric("share of the largest variance", "share", "σ_1 / Σ σ, σ the eigenvalues of the centred covariance"),
    "effective_rank": Metric("effective rank", "dimensions", "exp(-Σ p_j ln p_j), p_j = √σ_j / Σ √σ; 1 to d", "Roy and Vetterli 2007"),
    "rankme": Metric("RankMe", "dimensions", "the same of the singular values of the uncentred matrix [N, d]", "Garrido et al. 2023, arXiv:2210.02885"),
    "participation_ratio": Metric("participation ratio", "dimensions", "(Σ σ)² / Σ σ²"),
    "stable_rank": Metric("stable rank", "dimensions", "Σ σ / σ_1"),
    "dims_below_1e-3": Metric("directions below a thousandth", "dimensions", "#{j : σ_j < 10⁻³ σ_1}"),
    "dims_below_1e-6": Metric("directions below a millionth", "dimensions", "#{j : σ_j < 10⁻⁶ σ_1}"),
    "entropy_kde": Metric("entropy on the unit sphere", "nats", "-mean_i ln mean_{j≠i} e^(-2‖z_i - z_j‖²), z on the unit sphere", "after Wang and Isola 2020, arXiv:2005.10242"),
    "entropy_gaussian": Metric("Gaussian entropy", "nats", "d/2 (1 + ln 2π) + ½ Σ ln(σ_j / mean σ + 10⁻⁶)"),
    "variance_hinge": Metric("VICReg's variance term", "1", "mean_j max(0, 1 - √(Var z_j + 10⁻⁴))", VICREG),
    "covariance": Metric("VICReg's covariance term", "1", "Σ_{i≠j} C_ij² / d, C the covariance with N - 1", VICREG),
    "dead_dims": Metric("dead coordinates", "dimensions", "#{j : Var z_j ≤ 10⁻¹²}"),
    "correlation": Metric("correlation of coordinates", "1", "mean |corr(z_i, z_j)| over i ≠ j that live"),
    "correlation_chance": Metric("correlation by chance", "1", "√(2/(πN)): what independent normal coordinates show"),
}  # fmt: skip
_REPRESENTATIONS = {
    f"{what}/{name}": metric for name, metric in _REPRESENTATION.items() for what in ("embedding", "feature")
}
_MODES = {
    "modes/alive_share": Metric("modes that live", "share", "#alive / #all; modes trainer: α_p s above 10⁻³ of a living mode's; linear_dynamics: eigenvalue of W Wᵀ above 0.05 of it"),
    "modes/collapsed_share": Metric("modes that collapsed", "share", "(#finite - #alive) / #all"),
    "modes/diverged_share": Metric("modes that diverged", "share", "1 - #finite / #all, at the end"),
    "modes/p": Metric("mean of p", "1", "over finite modes; p an eigenvalue of W_p", f"{TIAN}, eq. 6"),
    "modes/s": Metric("mean of s", "1", "modes: over finite modes, s an eigenvalue of F; linear_dynamics: living eigenvalues of W Wᵀ", f"{TIAN}, eq. 6"),
    "modes/time_to_90": Metric("time to 90 %", "1", "t at which p (linear_dynamics: the largest eigenvalue of W_p) first has 90 % of its last value; median over modes"),
    "invariant/error": Metric("error of the invariant", "1", "max over modes of |s - p²/α_p - c e^(-2ηt)|, c its value at t = 0", f"{TIAN}, eq. 7"),
    "boundary/disagreements": Metric("points that contradict theory", "points", "#{alive ≠ theory} on the grid"),
    "boundary/agreement": Metric("agreement with theory", "share", "share of grid points, those beside the edge left out, that do as theory says"),
    "fixed_point/error": Metric("error of the fixed point", "1", "max |p - p₊| over living modes away from the edge"),
    "tau/error": Metric("error of τ", "1", "max |τ - closed form| over 16 trajectories with s > 10⁻³ up to t = 20 or 700/β; none: left out"),
    "modes/alive": Metric("living modes", "modes", "#{eigenvalues of W Wᵀ above 0.05 of a living mode's}"),
    "modes/largest": Metric("largest mode", "1", "largest eigenvalue of W Wᵀ"),
    "target/tau": Metric("τ of the target", "1", "least squares of W_a = τ W", TIAN),
    "target/correlation": Metric("correlation of target and W", "cosine", "⟨W_a, W⟩ / (‖W_a‖ ‖W‖)"),
    "K/min": Metric("smallest eigenvalue of K", "1", "λ_min(K), K = (1 + σ²)(α_p/2 F + W_p²) - τ W_p + (η + η_p/2) I: how fast F and W_p align, at least; only for isotropic data", f"{TIAN}, Theorem 3"),
    "K/min_over_time": Metric("smallest eigenvalue of K over time", "1", "min_t λ_min(K)", f"{TIAN}, Theorem 3"),
    "balance/residual": Metric("imbalance", "1", "‖W Wᵀ - W_pᵀW_p/α_p‖ / ‖W Wᵀ‖", f"{TIAN}, eq. 3"),
    "balance/law_error": Metric("error of the balance law", "1", "‖B(t) - e^(-2ηt) B(0)‖ / ‖B(0)‖, B = W Wᵀ - W_pᵀW_p/α_p", f"{TIAN}, eq. 3"),
}  # fmt: skip
_PLACES = ("root", *(f"depth_{level}" for level in range(1, 8)))
_OF_PLACES = {
    "correlation": Metric("correlation with the latent variable", "1", "mean over nodes of that depth of the largest |corr| of a unit with the node's variable", TREE),
    "covariance": Metric("norm of the covariance operator", "1", "mean over nodes of ‖V_root[E[f ⊗ J | root]]‖", TREE),
    "weights": Metric("norm of the weights", "1", "mean over nodes of ‖W‖, Frobenius"),
}  # fmt: skip
_TREES = {f"{what}/{place}": metric for what, metric in _OF_PLACES.items() for place in _PLACES} | {
    "correlation/root_start": Metric("correlation with the root before training", "1", "correlation/root at epoch 0"),
    "correlation/root_gain": Metric("gain in correlation with the root", "1", "correlation/root at the end minus at epoch 0"),
}  # fmt: skip
GROUPS = {
    "Accuracy, at the end of a trial": _ACCURACY,
    "Evaluations of kept encoders": _EVALUATION,
    "Training, by epoch": _TRAINING,
    "F and W_p, by epoch": _EIGENSPACE,
    "Embeddings and features of held-out images, whenever spectra are recorded": _REPRESENTATIONS,
    "Trainers modes and linear_dynamics": _MODES,
    "Trainer hltm": _TREES,
}
"""The metrics by name, under what a page calls them together."""
METRICS = {name: metric for group in GROUPS.values() for name, metric in group.items()}
"""Every metric that a built-in trainer or method may report, by its name."""
