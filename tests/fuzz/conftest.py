"""Every input is tried as on the command line."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _as_on_the_command_line(_same_start: None) -> None:
    torch.set_default_dtype(torch.float32)
