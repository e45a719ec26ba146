"""Nothing of the source tree is imported: what is tested is the installed wheel."""

import subcast


def pytest_report_header() -> str:
    return f"subcast {subcast.__version__} in {subcast.__file__}"
