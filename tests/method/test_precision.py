"""What a process is told of number types, and that it is told no longer than needed."""

import torch

from cfa_lab.method.precision import float32_convolutions


def test_convolutions_take_no_tf32_while_features_are_made_and_what_the_user_chose_after():
    cudnn = torch.backends.cudnn
    with cudnn.flags(enabled=True, benchmark=True, deterministic=True, allow_tf32=True):
        with float32_convolutions(torch.device("cuda")):
            assert not cudnn.allow_tf32
            assert cudnn.enabled and cudnn.benchmark and cudnn.deterministic
        assert cudnn.allow_tf32 and cudnn.benchmark
        with float32_convolutions(torch.device("cpu")):
            assert cudnn.allow_tf32
