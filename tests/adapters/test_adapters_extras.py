"""An adapter whose packages are not installed says what to install."""

import subprocess
import sys

import pytest

from adapters._extras import MissingExtraError, needs_extra


def test_a_missing_package_names_its_extra() -> None:
    """In one sentence, with the command."""
    with (
        pytest.raises(MissingExtraError) as caught,
        needs_extra("modbus"),
    ):
        import nobody_has_this_package  # type: ignore[import-not-found]  # noqa: F401  # so it is
    assert str(caught.value) == (
        'the package "nobody_has_this_package" is missing; pip install "dercp[modbus]" brings it'
    )


@pytest.mark.parametrize("adapter", ["sunspec", "modbus"])
def test_without_pymodbus_the_adapter_says_so_when_it_is_loaded(adapter: str) -> None:
    """The check of a site.toml loads it, and prints the sentence."""
    code = f"import sys; sys.modules['pymodbus.client'] = None; import adapters.{adapter}"
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert 'pip install "dercp[modbus]" brings it' in done.stderr
