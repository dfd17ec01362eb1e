"""What sets the weights of a file apart from those that a network needs, in one line."""

from collections.abc import Mapping

from torch import Tensor

from data_cache.verification import first_of

COUNTER = ".num_batches_tracked"  # of batch norm; torch before 0.4.1 wrote none, and nothing here reads it


def weight_differences(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    """Return the count and the first names of entries missing, unexpected and of another shape; None where all agree.

    A counter of batch norm may be missing.
    """
    missing = [name for name in wanted if name not in found and not name.endswith(COUNTER)]
    unexpected = [name for name in found if name not in wanted]
    misshapen = [
        f"{name} {tuple(found[name].shape)} for {tuple(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    told = [line for kind, names in kinds.items() for line in first_of([_shown(name) for name in names], kind)]
    return "; ".join(told) or None


def _shown(name: str) -> str:
    """Return a name out of a file fit for a line: escaped where it cannot be printed."""
    return repr(name)[1:-1][:120]
