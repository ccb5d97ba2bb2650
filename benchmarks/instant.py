"""A plugin of pytest that says at once which test failed and how, for a run that may be stopped before its summary."""

import os


def pytest_runtest_logreport(report):
    """Called for every phase of every test, with xdist in the first process and in the workers."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        lines = [line for line in report.longreprtext.splitlines() if line.startswith("E ")]
        print(f"\nFAILED {report.nodeid} {report.when}: {' '.join(lines[:2])[:200]}", flush=True)
