from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from auditor.behaviour.shims import cuda, device  # noqa: E402
from auditor.behaviour.shims.context import ShimContext  # noqa: E402
from auditor.behaviour.shims.errors import GuestUnsupported  # noqa: E402


@pytest.fixture(autouse=True)
def installed(ctx: ShimContext) -> None:
    cuda.install(ctx)


def test_there_is_one_h100() -> None:
    assert torch.cuda.is_available() and torch.cuda.device_count() == 1 and torch.cuda.current_device() == 0
    properties = torch.cuda.get_device_properties(0)
    assert "H100" in properties.name and properties.major == 9 and properties.multi_processor_count == 132
    assert torch.cuda.get_device_capability() == (9, 0) and torch.cuda.is_bf16_supported()
    free, total = torch.cuda.mem_get_info()
    assert 0 < free < total == properties.total_memory
    torch.cuda.set_device(torch.device("cuda", 0))
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    assert torch.cuda.max_memory_allocated() // 1024 // 1024 == 1024


def test_events_read_the_virtual_clock(ctx: ShimContext) -> None:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    ctx.clock.advance(2.0)
    end.record()
    assert start.elapsed_time(end) == pytest.approx(2001.0)
    with pytest.raises(RuntimeError, match="recorded"):
        torch.cuda.Event().elapsed_time(end)


def test_streams_run_what_is_in_them() -> None:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        event = stream.record_event()
    assert event.query() and stream.query()
    torch.cuda.current_stream().wait_event(event)
    with torch.cuda.device(0):
        pass


def test_the_random_state_is_the_cpu_s() -> None:
    state = torch.cuda.get_rng_state()
    first = torch.rand(3)
    torch.cuda.set_rng_state(state)
    assert torch.equal(first, torch.rand(3))


def test_seeding_cuda_leaves_the_cpu_alone() -> None:
    torch.manual_seed(1)
    first = torch.rand(3)
    torch.manual_seed(1)
    torch.cuda.manual_seed_all(99)
    assert torch.equal(first, torch.rand(3))


def test_fork_rng_restores() -> None:
    torch.manual_seed(1)
    with torch.random.fork_rng():
        inside = torch.rand(2)
    assert torch.equal(inside, torch.rand(2))


@pytest.mark.parametrize("name", ["torch.cuda.amp", "torch.amp"])
@pytest.mark.parametrize("args", [(), ("cuda",)])
def test_the_scaler_scales(name: str, args: tuple[str, ...]) -> None:
    owner = torch.cuda.amp if "cuda" in name else torch.amp
    if owner is torch.cuda.amp:
        args = ()
    scaler = owner.GradScaler(*args, init_scale=4.0)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler.scale((weight * 0.5).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert weight.item() == 0.5
    assert not owner.GradScaler(*args, enabled=False).is_enabled()


def test_a_graph_runs_once_and_does_not_replay() -> None:
    graph, seen = torch.cuda.CUDAGraph(), []
    with torch.cuda.graph(graph):
        seen.append(1)
    assert seen == [1]
    with pytest.raises(GuestUnsupported, match="replay"):
        graph.replay()


def test_switches_of_attention_kernels_do_not_stop_the_cpu() -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    for kind in ("flash", "math", "mem_efficient", "cudnn"):
        getattr(torch.backends.cuda, f"enable_{kind}_sdp")(kind == "cudnn")
    assert torch.backends.cuda.cudnn_sdp_enabled() and not torch.backends.cuda.flash_sdp_enabled()
    q, k = torch.randn(1, 4, 8, 16), torch.randn(1, 2, 8, 16)
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        out = torch.nn.functional.scaled_dot_product_attention(q, k, k, is_causal=True, enable_gqa=True)
    wide = k.repeat_interleave(2, 1)
    assert torch.allclose(
        out, torch.nn.functional.scaled_dot_product_attention(q, wide, wide, is_causal=True), atol=1e-6
    )
    with torch.backends.cuda.sdp_kernel(enable_flash=True):
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision("high")


def test_everything_is_put_back(ctx: ShimContext) -> None:
    ctx.restore()
    assert torch.cuda.Event is not None and not hasattr(torch.cuda.Event, "at")
    assert torch.cuda.get_device_name is not None and "shims" not in torch.cuda.is_available.__module__


def test_a_tensor_may_be_tied_to_a_stream(ctx: ShimContext) -> None:
    device.install(ctx)
    assert torch.ones(2).record_stream(torch.cuda.current_stream()) is None
