"""What comparisons print: rows of a Markdown table, with medians, ranges and ratios of runs."""

from statistics import median


def row(cells):
    print("| " + " | ".join(cells) + " |")


def of(runs, key):
    return [run[key] for run in runs if key in run]


def spread(numbers, form="{:.4g}"):
    """Median and range."""
    if not numbers:
        return "-"
    low, middle, high = (form.format(number) for number in (min(numbers), median(numbers), max(numbers)))
    return f"{middle} ({low} to {high})"


def ratios(runs, base, key):
    """What runs are of the base's in the same turn."""
    by_turn = {run["turn"]: run[key] for run in base}
    return [run[key] / by_turn[run["turn"]] for run in runs if by_turn.get(run["turn"], 0) > 0]
