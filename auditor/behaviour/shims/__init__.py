"""Stand-ins for what the guest's machine lacks (CUDA, NCCL, flash-attention, a wall clock), one file per thing."""
