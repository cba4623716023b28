from facezoo.evaluation.rate_tables import rate_table
from facezoo.evaluation.report import Interval, shown_table

METRICS = {
    "tar@far=1e-2": 0.9, "fmr@far=1e-2": 0.01, "threshold@far=1e-2": 0.35, "fnmr@fmr=1e-2": 0.1,
    "tar@far=1e-3": None, "fnmr@fmr=1e-3": None,
}  # fmt: skip
INTERVALS = {
    "fnmr@fmr=1e-2": Interval(0.05, 0.2, 0.95, ""),
    "threshold@far=1e-2": Interval(0.3, 0.4, 0.95, ""),
    "fmr@far=1e-2": Interval(0.008, 0.012, 0.95, ""),
}


def test_a_row_has_rate_and_threshold_with_their_intervals():
    rows = rate_table(METRICS, INTERVALS, [1e-2, 1e-3], "fnmr")
    assert shown_table("FNMR at FMR", rows) == [
        ["FMR", "FNMR", "95 % interval", "FMR met", "threshold", "95 % interval"],
        ["1e-2", "10.00 %", "[5.00, 20.00]", "1.00 %", "0.3500", "[0.3000, 0.4000]"],
        ["1e-3", "n/m", "", "n/m", "n/m", ""],
    ]


def test_what_a_report_does_not_have_is_no_column():
    """By the rule of the IJB scripts there is no threshold; without resamples there is no interval."""
    by_scripts = {name: value for name, value in METRICS.items() if not name.startswith("threshold")}
    assert rate_table(by_scripts, {}, [1e-2], "tar") == (("FAR", "TAR", "FMR met"), ("1e-2", 0.9, 0.01))
