"""The fast tests with every Python that is installed: ``nox``, or ``nox -- tests/test_kernels.py`` for some."""

import nox

nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Install the project, and run the fast tests or those that were named."""
    session.install("--editable", ".[dev]")
    chosen = session.posargs or ("-m", "not slow", "--numprocesses", "auto")
    session.run("python", "-m", "pytest", "-p", "no:benchmark", *chosen)
