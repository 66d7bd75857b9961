"""stub"""


def write_html_report(request, comparison, path): ...
