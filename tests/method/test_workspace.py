import torch

from cfa_lab.method.cpu.workspace import Workspace


def test_a_name_keeps_its_memory_for_all_shapes_and_types_that_fit():
    workspace = Workspace()
    first = workspace.take("x", 4, 6, torch.float32)
    first.fill_(1)
    second = workspace.take("x", 3, 5, torch.bfloat16)
    assert second.shape == (3, 5) and second.dtype == torch.bfloat16
    assert second.data_ptr() == first.data_ptr()
    assert workspace.take("y", 4, 6, torch.float32).data_ptr() != first.data_ptr()
    assert workspace.take("x", 40, 6, torch.float32).shape == (40, 6)
    assert workspace.take("none", 0, 6, torch.float32).shape == (0, 6)
