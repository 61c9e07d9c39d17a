"""Meters of energy against recorded trees of files and a driver with a known power curve."""

# ruff: noqa: N801, N802, N818  (the driver's own names)

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hwnas.errors import InvalidValueError
from hwnas.meters import absence, choose_meter, make_meter
from hwnas.meters.readings import Counter, _Sampler, integrated
from hwnas.runtimes.base import Place
from hwnas.testing import MeterContract

HERE, GPU = Place("this-cpu", own_thread=True), Place("gpu1", "Board")
# A desktop of two sockets: names and ranges as the kernel gives them.
TWO_SOCKETS = {
    "intel-rapl:0/name": "package-0",
    "intel-rapl:0/energy_uj": "1000000",
    "intel-rapl:0/max_energy_range_uj": "262143328850",
    "intel-rapl:0/intel-rapl:0:0/name": "core",
    "intel-rapl:0/intel-rapl:0:0/energy_uj": "700000",
    "intel-rapl:0/intel-rapl:0:0/max_energy_range_uj": "262143328850",
    "intel-rapl:0/intel-rapl:0:1/name": "dram",
    "intel-rapl:0/intel-rapl:0:1/energy_uj": "50000",
    "intel-rapl:0/intel-rapl:0:1/max_energy_range_uj": "65712999613",
    "intel-rapl:1/name": "package-1",
    "intel-rapl:1/energy_uj": "3000000",
    "intel-rapl:1/max_energy_range_uj": "262143328850",
    "intel-rapl-mmio:0/name": "package-0",
    "intel-rapl-mmio:0/energy_uj": "1000000",
    "intel-rapl-mmio:0/max_energy_range_uj": "262143328850",
}
LAPTOP_WITH_PLATFORM = {
    "intel-rapl:0/name": "package-0",
    "intel-rapl:0/energy_uj": "1000000",
    "intel-rapl:0/max_energy_range_uj": "262143328850",
    "intel-rapl:1/name": "psys",
    "intel-rapl:1/energy_uj": "9000000",
    "intel-rapl:1/max_energy_range_uj": "262143328850",
}
# JetPack 5 and 6 on an Orin Nano: hwmon, mV and mA.
ORIN = {
    "ina3221/1-0040/hwmon/hwmon1/in1_label": "VDD_IN",
    "ina3221/1-0040/hwmon/hwmon1/in1_input": "5032",
    "ina3221/1-0040/hwmon/hwmon1/curr1_input": "1000",
    "ina3221/1-0040/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV",
    "ina3221/1-0040/hwmon/hwmon1/in2_input": "5024",
    "ina3221/1-0040/hwmon/hwmon1/curr2_input": "400",
    "ina3221/1-0040/hwmon/hwmon1/in7_label": "sum of shunt voltages",
}
# JetPack 4 on a Nano: iio, mW.
NANO = {
    "ina3221x/6-0040/iio:device0/rail_name_0": "POM_5V_IN",
    "ina3221x/6-0040/iio:device0/in_power0_input": "2450",
    "ina3221x/6-0040/iio:device0/rail_name_1": "POM_5V_GPU",
    "ina3221x/6-0040/iio:device0/in_power1_input": "120",
}
# Thor: one more chip, whose power is in µW.
THOR = {
    "ina238/2-0044/hwmon/hwmon4/in1_label": "VIN",
    "ina238/2-0044/hwmon/hwmon4/power1_input": "31500000",
}
# An AGX Orin has no rail of the whole module.
AGX_ORIN = {
    "ina3221/1-0040/hwmon/hwmon1/in1_label": "VDD_GPU_SOC",
    "ina3221/1-0040/hwmon/hwmon1/in1_input": "19000",
    "ina3221/1-0040/hwmon/hwmon1/curr1_input": "200",
    "ina3221/1-0041/hwmon/hwmon2/in2_label": "VIN_SYS_5V0",
    "ina3221/1-0041/hwmon/hwmon2/in2_input": "5000",
    "ina3221/1-0041/hwmon/hwmon2/curr2_input": "900",
}


def write_tree(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files of a tree, with the line end that the kernel writes."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("hwnas.meters.rapl.POWERCAP", tmp_path)
    return tmp_path


@pytest.fixture
def drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("hwnas.meters.jetson.DRIVERS", tmp_path)
    return tmp_path


def test_packages_and_their_memory_are_added_once(powercap: Path) -> None:
    write_tree(powercap, TWO_SOCKETS)
    with make_meter("rapl").open(HERE) as read:
        assert read() == 0
        more = {"intel-rapl:0": 1_250_000, "intel-rapl:1": 3_002_000}
        more |= {"intel-rapl:0/intel-rapl:0:1": 50_003, "intel-rapl:0/intel-rapl:0:0": 999_999}
        write_tree(powercap, {f"{zone}/energy_uj": str(uj) for zone, uj in more.items()})
        # 250,000 and 2,000 µJ of the packages, 3 µJ of the memory; cores are part of a package.
        assert read() == pytest.approx(252.003)
        assert getattr(read, "facts")["rail"] == "package-0+package-1+dram"  # noqa: B009


def test_the_platform_is_not_added_to_its_package(powercap: Path) -> None:
    write_tree(powercap, LAPTOP_WITH_PLATFORM)
    with make_meter("rapl").open(HERE) as read:
        write_tree(powercap, {"intel-rapl:1/energy_uj": "19000000"})
        assert read() == 0


def test_a_counter_that_wraps_around_goes_on(powercap: Path) -> None:
    write_tree(powercap, LAPTOP_WITH_PLATFORM | {"intel-rapl:0/energy_uj": "262143328000"})
    with make_meter("rapl").open(HERE) as read:
        write_tree(powercap, {"intel-rapl:0/energy_uj": "149"})
        # 850 µJ to the largest number, one to 0, 149 from there.
        assert read() == pytest.approx(1.0)
        write_tree(powercap, {"intel-rapl:0/energy_uj": "1149"})
        assert read() == pytest.approx(2.0)


def test_a_counter_without_an_end_must_not_fall() -> None:
    numbers = iter([5, 9, 3])
    counter = Counter(lambda: next(numbers), unit_mj=2.0)
    assert counter() == 8
    with pytest.raises(InvalidValueError, match="it fell from 9 to 3"):
        counter()


@pytest.mark.parametrize(
    ("tree", "rail", "milliwatts"),
    [(ORIN, "VDD_IN", 5032.0), (NANO, "POM_5V_IN", 2450.0), (THOR, "VIN", 31_500.0)],
)
def test_the_rail_of_the_whole_module(
    tree: Mapping[str, str], rail: str, milliwatts: float, drivers: Path
) -> None:
    write_tree(drivers, tree)
    place = Place("gpu0", "Orin")
    with choose_meter("auto", "energy", place).open(place) as read:
        start = time.perf_counter()
        while read() == 0:
            time.sleep(0.005)
        time.sleep(0.2)
        grown, seconds = read(), time.perf_counter() - start
        assert getattr(read, "facts")["rail"] == rail  # noqa: B009
    # Constant power: energy is power times time, but for the samples at the ends.
    assert 0 < grown <= milliwatts * (seconds + 0.1)


def test_a_module_without_such_a_rail_is_told_what_there_is(drivers: Path) -> None:
    write_tree(drivers, AGX_ORIN)
    assert absence(make_meter("jetson"), HERE) == (
        "none of VDD_IN, VIN, POM_5V_IN is among the rails VDD_GPU_SOC, VIN_SYS_5V0"
    )


def test_a_host_without_sensors_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for target in ("rapl.POWERCAP", "jetson.DRIVERS"):
        monkeypatch.setattr(f"hwnas.meters.{target}", tmp_path)
    with pytest.raises(InvalidValueError, match="`energy` must have a sensor on this-cpu") as said:
        choose_meter("auto", "energy", HERE)
    for part in (f"no package-* zone is in {tmp_path}", "no power monitor", "no Apple chip"):
        assert part in str(said.value)
    for name in ("rapl", "jetson"):
        with (
            pytest.raises(InvalidValueError, match="`meter` must find"),
            make_meter(name).open(HERE),
        ):
            pass


def test_a_counter_that_may_not_be_read_is_named(
    powercap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(powercap, LAPTOP_WITH_PLATFORM)

    def refuse(path: Path) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("hwnas.meters.rapl._read", refuse)
    assert absence(make_meter("rapl"), HERE) == (
        f"{powercap}/intel-rapl:0/energy_uj cannot be read (Permission denied): it needs root"
    )


def test_trapezoids_of_a_known_power_curve() -> None:
    # 40 (1 + cos(2 pi t)) W sampled at uneven times: linear between samples, the closed form of
    # each piece is its mean power times its length.
    def power(t: float) -> float:
        return 40e3 * (1 + math.cos(2 * math.pi * t))

    sampler = _Sampler(lambda: power(0.0), 1.0)
    sampler._at = 0.0
    times = [0.0, 0.1, 0.13, 0.4, 0.55, 1.0]
    for t in times[1:]:
        sampler._add(t, power(t))
    pieces = zip(times, times[1:], strict=False)  # noqa: RUF007
    assert sampler.energy_mj() == pytest.approx(
        sum((b - a) * (power(a) + power(b)) / 2 for a, b in pieces)
    )
    # Dense samples over whole periods give the integral, 40 J a second.
    dense = _Sampler(lambda: power(0.0), 1.0)
    dense._at = 0.0
    for i in range(1, 2001):
        dense._add(i / 1000, power(i / 1000))
    assert dense.energy_mj() == pytest.approx(80e3)


def test_a_sensor_that_fails_meanwhile_is_no_value() -> None:
    readings = iter([1.0, 2.0])
    with integrated(lambda: next(readings), 0.001) as read:
        time.sleep(0.05)
        with pytest.raises(InvalidValueError, match="read power all the time"):
            read()


class Nvml(SimpleNamespace):
    """A driver at the library's boundary: a board that takes 30 W, 20 of them idle."""

    class NVMLError(Exception):
        pass

    class NVMLError_NotSupported(NVMLError):
        pass

    def __init__(self, counts: bool = True, gpus: int = 2) -> None:
        super().__init__(open=0, counts=counts, gpus=gpus, start=time.perf_counter())

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index >= self.gpus:
            raise self.NVMLError("Invalid Argument")
        return index

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        assert handle == 1
        return 30_000

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        assert handle == 1
        if not self.counts:
            raise self.NVMLError_NotSupported("Not Supported")
        return int(30_000 * (time.perf_counter() - self.start)) + 77


@pytest.fixture(params=[True, False], ids=["counter", "power"])
def nvml(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nvml]:
    module = Nvml(counts=request.param)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setattr("hwnas.meters.nvml.find_spec", lambda _name: object())
    yield module
    assert module.open == 0


def test_a_gpu_gives_its_counter_or_its_power(nvml: Nvml) -> None:
    meter = choose_meter("auto", "energy", GPU)
    with meter.open(GPU) as read:
        time.sleep(0.1)
        start, first = time.perf_counter(), read()
        time.sleep(0.3)
        grown, seconds = read() - first, time.perf_counter() - start
        facts = getattr(read, "facts")  # noqa: B009
    assert facts["instrument"] == (
        "NVML energy counter" if nvml.counts else "NVML power, trapezoids"
    )
    # A loaded machine samples late: what is bounded are the ends.
    assert 0 < grown <= 30_000 * (seconds + 0.5)
    if nvml.counts:
        assert grown == pytest.approx(30_000 * seconds, abs=30_000 * 0.2)


def test_a_gpu_that_is_not_there_is_named(nvml: Nvml) -> None:
    nvml.gpus = 1
    assert absence(make_meter("nvml"), GPU) == "NVML says: Invalid Argument"


def test_nvml_s_package_may_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.meters.nvml.find_spec", lambda _name: None)
    assert "pip install 'hwnas[energy]'" in absence(make_meter("nvml"), GPU)


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Pretend an Apple chip; give what it has counted."""
    now = SimpleNamespace(cpu_total_mj=10, dram_mj=None, gpu_mj=5, gpu_sram_mj=1, ane_mj=0)

    class AppleEnergyMonitor:
        def get_cumulative_energy(self) -> SimpleNamespace:
            return SimpleNamespace(**vars(now))

    package: Any = SimpleNamespace(AppleEnergyMonitor=AppleEnergyMonitor)
    monkeypatch.setitem(sys.modules, "zeus_apple_silicon", package)
    monkeypatch.setattr("hwnas.meters.apple.AppleChip.missing", lambda *_: "")
    monkeypatch.setattr("hwnas.meters.apple.AppleChip.window_seconds", 0.0)
    return now


def test_parts_of_an_apple_chip_are_added(apple: SimpleNamespace) -> None:
    now = apple
    with make_meter("apple").open(HERE) as read:
        now.cpu_total_mj, now.gpu_mj, now.ane_mj = 14, 6, 2
        assert read() == 4 + 1 + 2
        assert getattr(read, "facts")["rail"] == "cpu_total+gpu+gpu_sram+ane"  # noqa: B009


class TestNvmlContract(MeterContract):
    place = GPU

    @pytest.fixture
    def meter(self, nvml: Nvml, monkeypatch: pytest.MonkeyPatch) -> Any:
        assert nvml
        monkeypatch.setattr("hwnas.meters.nvml.Nvml.window_seconds", 0.05)
        return make_meter("nvml")


class TestJetsonContract(MeterContract):
    @pytest.fixture
    def meter(self, drivers: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        write_tree(drivers, ORIN)
        monkeypatch.setattr("hwnas.meters.jetson.JetsonRail.window_seconds", 0.05)
        return make_meter("jetson")


class TestRaplContract(MeterContract):
    @pytest.fixture
    def meter(self, powercap: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        write_tree(powercap, TWO_SOCKETS)
        monkeypatch.setattr("hwnas.meters.rapl.Rapl.window_seconds", 0.01)
        return make_meter("rapl")


@pytest.mark.usefixtures("apple")
class TestAppleContract(MeterContract):
    @pytest.fixture
    def meter(self) -> Any:
        return make_meter("apple")
