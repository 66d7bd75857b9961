"""Render many comparisons as JUnit XML, which CI systems show as tests."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from pipeline.comparison.reports.sweep_report import SweepReport


def junit_report(report: SweepReport) -> str:
    """Return the report as JUnit XML: a test for each comparison."""
    seconds = sum(entry.seconds for entry in report.entries)
    suite = Element(
        "testsuite",
        name=report.name,
        tests=str(len(report.entries)),
        failures=str(report.failures),
        errors=str(report.errors),
        time=f"{seconds:.3f}",
    )
    for entry in report.entries:
        test = SubElement(
            suite,
            "testcase",
            name=entry.name,
            classname=report.baseline.label,
            time=f"{entry.seconds:.3f}",
        )
        if entry.outcome == "error":
            SubElement(test, "error", message=entry.error or "", type="error")
        elif entry.outcome == "failed":
            failure = SubElement(test, "failure", message=entry.line(0).strip(), type="different")
            failure.text = entry.url
    suites = Element("testsuites")
    suites.append(suite)
    indent(suites)
    return tostring(suites, encoding="unicode", xml_declaration=True) + "\n"
