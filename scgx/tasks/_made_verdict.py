"""What is said of made cells besides how well they teach: can they be told apart, are they copies?"""

from collections.abc import Mapping

from scgx.tasks._scores import Entry, Spread

COPIES = 0.9  # nearer than this share of the distance of fresh real cells is copying
ALIKE = 0.62  # a forest that does no better hardly tells made from real


def sentence(entry: Entry, real: Mapping[str, Spread], headline: str) -> str:
    """To be added to the verdict; empty where nothing is known."""
    parts = []
    mine, ideal = entry.results[headline].value, real.get(headline)
    if mine is not None and ideal is not None and ideal.mean > 0:
        parts.append(f"{mine / ideal.mean:.2f} of what real cells teach ({ideal.mean:.3f})")
    told = [entry.results[f"rf_auroc@{kind}"].value for kind in ("genes", "components")]
    known = [value for value in told if value is not None]
    if known:
        can = "hardly tells" if max(known) <= ALIKE else "tells"
        parts.append(f"a forest {can} them from real cells (AUROC {max(known):.2f})")
    near, same = entry.results["dcr_ratio"].value, entry.results["dup_rate"].value
    if near is not None:
        copied = near < COPIES or (same is not None and same > 0.01)
        words = "copies of training cells" if copied else "no copies of training cells"
        parts.append(f"{words} (nearest one at {near:.2f} of the distance of fresh real cells)")
    return "; " + "; ".join(parts) if parts else ""
