"""Which solver `auto` takes, and why."""

from w261reg.losses import Loss

# a Hessian of this many features is 128 MiB, and its Cholesky factor seconds on one core
MAX_HESSIAN_FEATURES = 4096


def choose(loss: Loss, n_features: int, kinked: bool, step_size: float | None) -> tuple[str, str]:
    """The name of the solver and one line why.

    Args:
        loss: the loss.
        n_features: n.
        kinked: whether a penalty has an L1 part.
        step_size: a fixed step the user asked for, or None.
    """
    if step_size is not None:
        return "gd", "a step size was given"
    if n_features > MAX_HESSIAN_FEATURES:
        return "lbfgs", (
            f"a Hessian of {n_features:,} features is too large (over {MAX_HESSIAN_FEATURES:,})"
        )
    if loss.quadratic:
        return "gram", "squared error: one pass (the Gram matrix) holds the whole problem"
    if kinked:
        return "proximal", "an L1 part needs exact zeros; second order needs the fewest passes"
    return "newton", "smooth, and second order needs the fewest passes"
